"""The Lagrangian equation: the map's end moves with the velocity at the end.

    d/dr psi_{t->r}(x) = b_r(psi_{t->r}(x))

In units of the field, with b = p m + q x, a map that solves it has no residual

    e = (d/dr psi - q_r psi) / p_r - m_r(psi),      psi = psi_{t->r}(x_t)

    L = E | e |^2  off the diagonal,   E | m_{t->t}(x_t) - m_t |^2  on it

m_r is that of a frozen map (Lagrangian map distillation, LMD) or the map's own diagonal,
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

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Distillation, Losses, Weight, field_of, scatter_terms
from geoflow.objectives.forward_mode import forward_mode
from geoflow.times import TimePairs, UniformPairs
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

    with forward_mode(x.device):
        moved = torch.func.jvp(state_at, (r,), (torch.ones_like(r),))
    return moved[0], moved[1]


def lagrangian_residual(
    flow_map: FlowMap,
    state: Float[Tensor, "b *s"],
    derivative: Float[Tensor, "b *s"],
    instantaneous: Float[Tensor, "b *s"],
    r: Times,
) -> Float[Tensor, "b *s"]:
    """The residual e of a state at r, its derivative in r, and m_r there.

    Where p is infinite e is its limit: of x1 at r = 1 it is psi - m_1(psi), a denoiser that leaves
    data as they are.

    Raises:
        ValueError: for a time at which there is none, as of x1 on `vp` at r = 1.
    """
    if not bool(torch.stack(flow_map.prediction.inverse_rates(r)).isfinite().all()):
        raise ValueError(
            f"{type(flow_map.prediction).__name__} prediction has no velocity at an end of "
            f"{type(flow_map.interpolant).__name__}, nor a limit of this loss: draw times r with "
            "end=0, so that none is 1"
        )
    return flow_map.prediction.of_velocity(derivative, state, r) - instantaneous


@dataclass(frozen=True, kw_only=True)
class Lagrangian(Distillation):
    """Distil a velocity into the map by the derivative in the end time.

    References: Boffi et al., 2024, arXiv:2406.07507; 2025, arXiv:2505.18825.
    """

    frozen: FlowMap | None = None
    """The teacher's map, whose diagonal is distilled; None: the map's own, anchored to data."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5))
    """Distribution of the pairs of times; for x1 on `vp` none may end at 1."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example, by t on the diagonal and by r off it."""

    def caution(self, flow_map: FlowMap) -> str | None:
        """Of x1 weighted by its velocity, which has no bound at the data."""
        if flow_map.prediction_key != "x1" or self.weight.space != "velocity":
            return None
        return (
            "lagrangian of x1 weighted by velocity grows without bound at the data, where every "
            "weight is at its limit: weight it by field, or predict u"
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
        """Losses of noise x0 paired with data x1; `average` gives m_r, unless `frozen` does."""
        sample = self.draw(flow_map, x0, x1, cond, generator)
        source = self.frozen or average or flow_map
        on, off = sample.on, sample.off
        here, there = sample[on], sample[off]
        if self.frozen is None:
            target = here.conditional(flow_map)
        else:
            with torch.no_grad():
                target = field_of(source, flow_map, here.x, here.t, here.cond)
        diagonal = here.field(flow_map) - target
        state, derivative = derivative_end(flow_map, there.x, there.t, there.r, there.cond)
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
