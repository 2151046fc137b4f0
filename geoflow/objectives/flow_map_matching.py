"""Flow map matching: go from data's path to another time, and come back to the path.

With x_t on the path, y = psi_{t->s}(x_t) for a time s before or after t, the map that goes back
arrives at z = psi_{s->t}(y), where it came from, with the path's velocity:

    L = E | e |^2 + | z - x_t |^2,    e = (dz/dt - q_t z) / p_t - m_t

off the diagonal, and flow matching on it. e is the Lagrangian residual in units of the field, m_t
being the conditional field of the pair: at the end x_t is known, so that data may stand where other
objectives need a second map. The map is two-sided, trained and usable in both directions of time;
gradients flow through both maps.

Predictions that are finite at both ends (u, v) suit it; x1 divides by alpha(t) on the way to
noise, x0 by beta(t) on the way to data.

Reference: Boffi et al., "Flow map matching", 2024, arXiv:2406.07507, direct training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, Weight, scatter_terms
from geoflow.objectives.lagrangian import derivative_end, lagrangian_residual
from geoflow.times import TimePairs, UniformPairs


@dataclass(frozen=True, kw_only=True)
class FlowMapMatching(Objective):
    """Learn the two-sided map from data alone.

    Reference: Boffi et al., 2024, arXiv:2406.07507.
    """

    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5, latest=0.95))
    """Distribution of the pairs of times; the path's is the earlier or the later, by a coin."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example, by its time on the path."""

    def caution(self, flow_map: FlowMap) -> str | None:
        """Of predictions that divide by what vanishes at an end."""
        if flow_map.prediction_key not in ("x0", "x1"):
            return None
        return (
            f"flow-map-matching of {flow_map.prediction_key} divides by what vanishes on the way "
            "to an end, and its gradients are heavy-tailed: u and v are finite at both"
        )

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
        early, late = self.draw_times(flow_map, x1, generator)
        # Either may be where the path's state is, which `latest` keeps from the data's end.
        late = torch.where((late == early) | (late == 1), late, self.times.latest * late)
        coin = torch.rand(len(x1), generator=generator, dtype=x1.dtype).to(x1.device) < 0.5
        # The path's state at r = 1 is data itself, where fields may have no rate.
        coin = coin & (late < 1)
        t, s = torch.where(coin, late, early), torch.where(coin, early, late)
        sample = self.sample_at(flow_map, x0, x1, t, s, cond)
        on, off = sample.on, sample.off
        here, there = sample[on], sample[off]
        diagonal = here.field(flow_map) - here.conditional(flow_map)
        away = flow_map(there.x, there.t, there.r, there.cond)
        back, derivative = derivative_end(flow_map, away, there.r, there.t, there.cond)
        goal = there.conditional(flow_map)
        residual = lagrangian_residual(flow_map, back, derivative, goal, there.t)
        return scatter_terms(
            len(sample),
            {
                "diagonal": (on, self.weight(flow_map, diagonal, here.t)),
                "velocity": (off, self.weight(flow_map, residual, there.t)),
                "return": (off, self.weight(flow_map, back - there.x, there.t)),
            },
        )
