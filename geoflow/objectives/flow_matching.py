"""Flow matching: the diagonal of the flow map, by regression on the conditional field.

    L = E | m_{t->t}(x_t) - m_t(x_t | x0, x1) |^2

With u-prediction this is the velocity loss, with x1-prediction denoising, with x0-prediction
noise matching.

Reference: Lipman et al., "Flow matching for generative modeling", 2023, arXiv:2210.02747, eq. 9.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, mean_square
from geoflow.times import UniformPairs
from geoflow.typing import Condition


@dataclass(frozen=True)
class FlowMatching(Objective):
    """Regression on the diagonal r = t."""

    times: UniformPairs = field(default_factory=lambda: UniformPairs(diagonal=1.0))
    """Law of t; its pairs must all be on the diagonal."""

    def __post_init__(self) -> None:
        """Check the law of times.

        Raises:
            ValueError: if it leaves the diagonal.
        """
        if self.times.diagonal != 1.0:
            raise ValueError(f"flow matching needs diagonal = 1, got {self.times.diagonal}")

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
        """Mean squared error of the instantaneous field."""
        t, _ = self.times.sample(len(x0), generator=generator, dtype=x0.dtype)
        t = t.to(x0.device)
        xt = flow_map.interpolant.interpolate(x0, x1, t)
        target = flow_map.prediction.conditional(x0, x1, t)
        loss = mean_square(flow_map.field(xt, t, t, cond) - target)
        return Losses(loss, {"diagonal": loss})
