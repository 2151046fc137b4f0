"""The Eulerian equation: the map does not change along the trajectory that it starts on.

    d/dt psi_{t->r}(x) + (b_t(x) . grad) psi_{t->r}(x) = 0

is the cumulative identity with the marginal velocity b_t in place of the one given (x0, x1):

    L = E | m - sg(m - rho) |^2,      rho = Q (m_{t->r} - m_t) - C D m_{t->r} - S x

m_t and b_t are those of a given teacher (Eulerian map distillation, EMD) or of the map's own
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
from geoflow.objectives.base import Losses, Objective, Weight
from geoflow.objectives.cumulative import cumulative_residual, derivative_jvp
from geoflow.times import TimePairs, UniformPairs


@dataclass(frozen=True)
class Eulerian(Objective):
    """Distil a velocity into the map by the derivative along its trajectories.

    References: Boffi et al., 2024, arXiv:2406.07507; 2025, arXiv:2505.18825.
    """

    frozen: FlowMap | None = None
    """Teacher whose diagonal is distilled; None: the map's own, anchored to the data."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5))
    """Law of the pairs of times."""
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
        """Losses of noise x0 paired with data x1; `teacher` gives m_t, unless `frozen` does."""
        t, r = self.times.draw(x1, generator)
        x = flow_map.interpolant.interpolate(x0, x1, t)
        source = self.frozen or teacher or flow_map
        output = flow_map.field(x, t, r, cond)
        is_apart = r > t
        with torch.no_grad():
            instantaneous = source.field(x, t, t, cond)
            target = flow_map.prediction.conditional(x0, x1, t).to(x.dtype)
            if self.frozen is not None:
                target = instantaneous.to(x.dtype)
            target = target.clone()
            (off,) = is_apart.nonzero(as_tuple=True)
            if len(off) > 0:
                there = None if cond is None else cond[off]
                m, start = instantaneous[off].to(x.dtype), (x[off], t[off], r[off])
                velocity = source.prediction.velocity(m, x[off], t[off])
                derivative = derivative_jvp(flow_map, x[off], velocity, t[off], r[off], there)
                guess = output[off].to(x.dtype)
                target[off] = guess - cumulative_residual(flow_map, guess, m, derivative, *start)
        total = self.weight(flow_map, output - target, t)
        return Losses.split(total, is_apart)
