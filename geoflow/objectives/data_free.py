"""Data-free distillation: the map learns where its own jumps from noise lead.

    L = E | (d/dr psi - q_r psi) / p_r - m_r(psi) |^2,      psi = psi_{0->r}(x_0)

the Lagrangian equation on the one distribution that map and teacher share, that of noise: no data
are read, which the teacher may not have been trained on. On the diagonal the map regresses the
teacher's field at the states that it reaches itself. Without a frozen map the own diagonal takes
the teacher's place, anchored to data by flow matching.

The second half of the paper, a correction by the velocity of a further network that is trained on
samples, is left out: without it errors of early times are carried along, as by every solver.

Reference: Tong et al., "Flow Map Distillation Without Data", 2025, arXiv:2511.19428.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import (
    Distillation,
    Losses,
    PathSample,
    Weight,
    field_of,
    scatter_terms,
)
from geoflow.objectives.lagrangian import derivative_end, lagrangian_residual
from geoflow.samplers import check_start, start_state
from geoflow.times import TimePairs, UniformPairs


@dataclass(frozen=True, kw_only=True)
class DataFree(Distillation):
    """Distil a velocity into the map along the map's own jumps from noise.

    Reference: Tong et al., 2025, arXiv:2511.19428.
    """

    frozen: FlowMap | None = None
    """The teacher's map, whose diagonal is distilled; None: the map's own, anchored to data."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5))
    """Distribution of the pairs; off the diagonal all start at t = 0, and r counts."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example, by t on the diagonal and by r off it."""

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
        """Losses of noise x0; `average` gives m_r, unless `frozen` does, and x1 is then not read.

        Raises:
            ValueError: for a prediction that cannot start at t = 0, such as x0.
        """
        sample = self.draw(flow_map, x0, x1, cond, generator)
        check_start(flow_map, 0.0, 0.5)
        source = self.frozen or average or flow_map
        on, off = sample.on, sample.off
        here, there = sample[on], sample[off]
        diagonal = self._diagonal(flow_map, here, x0[on])
        noise, zero = start_state(flow_map, x0[off]), torch.zeros_like(there.r)
        state, derivative = derivative_end(flow_map, noise, zero, there.r, there.cond)
        with torch.no_grad():
            instantaneous = field_of(source, flow_map, state.detach(), there.r, there.cond)
        residual = lagrangian_residual(flow_map, state, derivative, instantaneous, there.r)
        return scatter_terms(
            len(sample),
            {
                "diagonal": (on, self.weight(flow_map, diagonal, here.t)),
                "map": (off, self.weight(flow_map, residual, there.r)),
            },
        )

    def _diagonal(self, flow_map: FlowMap, sample: PathSample, noise: Tensor) -> Tensor:
        """Errors of the field, of data or where the map leads from noise."""
        if self.frozen is None:
            return sample.field(flow_map) - sample.conditional(flow_map)
        t, cond = sample.t, sample.cond
        with torch.no_grad():
            x = flow_map(start_state(flow_map, noise), torch.zeros_like(t), t, cond)
            target = field_of(self.frozen, flow_map, x, t, cond)
        return flow_map.field(x, t, t, cond) - target
