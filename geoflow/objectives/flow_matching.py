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
from geoflow.objectives.base import Losses, Objective
from geoflow.times import TimePairs, UniformPairs


@dataclass(frozen=True, kw_only=True)
class FlowMatching(Objective):
    """Regression of the instantaneous field.

    Reference: Lipman et al., 2022, arXiv:2210.02747.
    """

    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=1.0))
    """Distribution of the times; only t is used."""

    def __call__(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
        *,
        generator: torch.Generator | None = None,
        average: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1; the average is not used."""
        sample = self.draw(flow_map, x0, x1, cond, generator)
        error = sample.instantaneous(flow_map) - sample.conditional(flow_map)
        total = self.weight(flow_map, error, sample.t)
        return Losses(total, {"diagonal": total})
