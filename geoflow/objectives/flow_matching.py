"""Flow matching: the diagonal of a flow map, and the anchor of every other objective.

    L = E | m_{t->t}(x_t) - m_t(x_t | x0, x1) |^2

Its minimiser is the instantaneous field E[m_t | x_t]; the loss there is the conditional
variance of m_t, not zero. With data prediction this is denoising.

Reference: Lipman et al., "Flow Matching for Generative Modeling", 2022, arXiv:2210.02747.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, Weight
from geoflow.times import TimePairs, UniformPairs


@dataclass(frozen=True)
class FlowMatching(Objective):
    """Regression of the instantaneous field.

    Reference: Lipman et al., 2022, arXiv:2210.02747.
    """

    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=1.0))
    """Law of the times; only t is used."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example."""

    def __call__(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
        *,
        generator: torch.Generator | None = None,
        teacher: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1; the teacher is not used."""
        path = flow_map.interpolant
        t, _ = self.times.draw(x1, generator)
        target = flow_map.prediction.conditional(x0, x1, t)
        output = flow_map.field(path.interpolate(x0, x1, t), t, t, cond)
        total = self.weight(flow_map, output - target, t)
        return Losses(total, {"diagonal": total})
