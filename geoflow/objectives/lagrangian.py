"""The Lagrangian equation: the map's end moves with the velocity at the end.

    d/dr psi_{t->r}(x) = b_r(psi_{t->r}(x))

In units of the field, with b = p m + q x, a map that solves it has no residual

    e = (d/dr psi - q_r psi) / p_r - m_r(psi),      psi = psi_{t->r}(x_t)

    L = E | e |^2  off the diagonal,   E | m_{t->t}(x_t) - m_t |^2  on it

m_r is that of a given teacher (Lagrangian map distillation, LMD) or the map's own diagonal,
which data trains at the same time (self-distillation, LSD). It is read under stop-gradient; the
derivative in r, a scalar, carries the gradient, so that no network is differentiated in space.

References: Boffi et al., "Flow map matching", 2024, arXiv:2406.07507 (LMD); Boffi et al., "How
to build a consistency model", 2025, arXiv:2505.18825 (LSD).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, Weight, scatter_terms
from geoflow.times import TimePairs, UniformPairs, expand_time
from geoflow.typing import Times


def derivative_end(
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    t: Times,
    r: Times,
    cond: Condition | None = None,
) -> tuple[Float[Tensor, "b *s"], Float[Tensor, "b *s"]]:
    """The state psi_{t->r}(x) and its derivative in r, both with gradient."""

    def state_at(r: Tensor) -> Tensor:
        return flow_map(x, t, r, cond)

    # The fused attention kernels have no forward-mode derivative.
    with torch.autocast(x.device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
        moved = torch.func.jvp(state_at, (r,), (torch.ones_like(r),))
    return moved[0], moved[1]


def lagrangian_residual(
    flow_map: FlowMap,
    state: Float[Tensor, "b *s"],
    derivative: Float[Tensor, "b *s"],
    instantaneous: Float[Tensor, "b *s"],
    r: Times,
) -> Float[Tensor, "b *s"]:
    """The residual e of a state at r, its derivative in r, and m_r there, for r < 1."""
    p, q = (expand_time(rate, like=state) for rate in flow_map.prediction.rates(r))
    return (derivative - q * state) / p - instantaneous


@dataclass(frozen=True)
class Lagrangian(Objective):
    """Distil a velocity into the map by the derivative in the end time.

    References: Boffi et al., 2024, arXiv:2406.07507; 2025, arXiv:2505.18825.
    """

    frozen: FlowMap | None = None
    """Teacher whose diagonal is distilled; None: the map's own, anchored to the data."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5))
    """Law of the pairs of times; none may end at 1 exactly."""
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
        teacher: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1; `teacher` gives m_r, unless `frozen` does."""
        t, r = self.times.draw(x1, generator)
        x = flow_map.interpolant.interpolate(x0, x1, t)
        source = self.frozen or teacher or flow_map
        (on,) = (r == t).nonzero(as_tuple=True)
        (off,) = (r > t).nonzero(as_tuple=True)
        here, there = (None, None) if cond is None else (cond[on], cond[off])
        if self.frozen is None:
            target = flow_map.prediction.conditional(x0[on], x1[on], t[on])
        else:
            with torch.no_grad():
                target = source.field(x[on], t[on], t[on], here)
        diagonal = flow_map.field(x[on], t[on], t[on], here) - target
        state, derivative = derivative_end(flow_map, x[off], t[off], r[off], there)
        with torch.no_grad():
            instantaneous = source.field(state.detach(), r[off], r[off], there)
        residual = lagrangian_residual(flow_map, state, derivative, instantaneous, r[off])
        return scatter_terms(
            len(x),
            {
                "diagonal": (on, self.weight(flow_map, diagonal, t[on])),
                "map": (off, self.weight(flow_map, residual, r[off])),
            },
        )
