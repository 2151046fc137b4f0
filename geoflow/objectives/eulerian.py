"""The Eulerian equation: the map does not change along the trajectory that it starts on.

    d/dt psi_{t->r}(x) + (b_t(x) . grad) psi_{t->r}(x) = 0

is the cumulative identity with the marginal velocity b_t in place of the one given (x0, x1):

    L = E | m - sg(m - rho) |^2,      rho = Q (m_{t->r} - m_t) - C D m_{t->r} - S x

m_t and b_t are those of a frozen map (Eulerian map distillation, EMD) or of the map's own
diagonal, which data trains at the same time (self-distillation, ESD). The target's noise is
gone, at the price of one more evaluation.

References: Boffi et al., "Flow map matching", 2024, arXiv:2406.07507 (EMD); Boffi et al., "How
to build a consistency model", 2025, arXiv:2505.18825 (ESD); Sabour et al., "Align Your Flow",
2025, arXiv:2506.14603 (its stop-gradient form).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Distillation, Losses, field_of
from geoflow.objectives.cumulative import cumulative_residual, derivative_jvp
from geoflow.times import TimePairs, UniformPairs


@dataclass(frozen=True, kw_only=True)
class Eulerian(Distillation):
    """Distil a velocity into the map by the derivative along its trajectories.

    References: Boffi et al., 2024, arXiv:2406.07507; 2025, arXiv:2505.18825.
    """

    frozen: FlowMap | None = None
    """The teacher's map, whose diagonal is distilled; None: the map's own, anchored to data."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5))
    """Distribution of the pairs of times."""

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
        """Losses of noise x0 paired with data x1; `average` gives m_t, unless `frozen` does."""
        sample = self.draw(flow_map, x0, x1, cond, generator)
        source = self.frozen or average or flow_map
        output = sample.field(flow_map)
        with torch.no_grad():
            start = sample.x, sample.t, sample.cond
            instantaneous = field_of(source, flow_map, *start).to(sample.x.dtype)
            target = sample.conditional(flow_map).to(sample.x.dtype)
            if self.frozen is not None:
                target = instantaneous
            target = target.clone()
            off = sample.off
            if len(off) > 0:
                there, m = sample[off], instantaneous[off]
                velocity = flow_map.prediction.velocity(m, there.x, there.t)
                derivative = derivative_jvp(
                    flow_map, there.x, velocity, there.t, there.r, there.cond
                )
                guess = output[off].to(there.x.dtype)
                target[off] = guess - cumulative_residual(
                    flow_map, guess, m, derivative, there.x, there.t, there.r
                )
        total = self.weight(flow_map, output - target, sample.t)
        return Losses.split(total, sample.is_apart)
