"""Cumulative flow map: the two-time map learned from data, for any interpolant x prediction.

Along the ODE's trajectory psi_{t->r}(x_t) does not change. With psi = P m + Q x and
D = d/dt + b . d/dx the derivative along the trajectory, this *cumulative identity* reads

    D psi = P' m + P D m + Q' x + Q b = 0,        P' = dP/dt, Q' = dQ/dt.

Divided by P'(t, t) it becomes a residual that is m - m_t on the diagonal r = t and never
singular, r = 1 included:

    rho = D psi_{t->r}(x_t) / P'(t, t),    L = E | m^theta - sg(m^theta - rho) |^2

where b may be replaced by the velocity of the pair (x0, x1), since it enters the stopped target
linearly. With u-prediction on linear paths this is MeanFlow; x1-prediction on linear,
variance-preserving and variance-exploding paths gives the published x1-FM, DDIM and EDM forms,
their residuals multiplied by alpha_r / alpha_t, which removes the singularity at r = 1.

The derivative-free law follows from the semigroup psi_{t->r} = psi_{s->r} o psi_{t->s}: for
any split s in [t, r]

    m_{t->r}(x) = [ P_sr m_{s->r}(y) + Q_sr P_ts m_{t->s}(x) + (Q_sr Q_ts - Q_tr) x ] / P_tr,
    y = psi_{t->s}(x),

which in the clock of u, x1 and x0 is the weighted average w m_{t->s} + (1 - w) m_{s->r}.

Reference: Li et al., "A few-step generative model on cumulative flow maps", 2026,
arXiv:2605.03623, theorem 3 and eq. 7; averaging: Boffi et al., 2025, arXiv:2505.18825 (PSD).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, mean_square, take
from geoflow.times import UniformPairs, expand_time
from geoflow.typing import Condition, Times

Derivative = Literal["jvp", "difference", "average"]


@dataclass(frozen=True)
class Cumulative(Objective):
    """Regression on the diagonal, the cumulative identity off it."""

    derivative: Derivative = "average"
    """How the identity is used: exact derivative, forward difference, or averaging law."""
    times: UniformPairs = field(default_factory=lambda: UniformPairs(diagonal=0.5, end=0.4))
    """Law of the pairs (t, r)."""
    step: float = 3e-4
    """Step of the forward difference, in time; shorter pairs use their own length."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for an unknown derivative or a step that is not positive.
        """
        if self.derivative not in ("jvp", "difference", "average"):
            raise ValueError(
                f"derivative must be 'jvp', 'difference' or 'average', got {self.derivative!r}"
            )
        if not self.step > 0.0:
            raise ValueError(f"step must be positive, got {self.step}")

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
        """Mean squared residual; terms `diagonal` and `map` are zero on the other's examples."""
        t, r = self.times.sample(len(x0), generator=generator, dtype=x0.dtype)
        u = torch.rand(len(x0), generator=generator, dtype=x0.dtype)
        t, r, u = t.to(x0.device), r.to(x0.device), u.to(x0.device)
        xt = flow_map.interpolant.interpolate(x0, x1, t)
        predicted = flow_map.field(xt, t, r, cond)
        target = flow_map.prediction.conditional(x0, x1, t)
        # Only examples off the diagonal pay for the identity.
        index = (r > t).nonzero()[:, 0]
        if len(index):
            x, ti, ri, c = xt[index], t[index], r[index], take(cond, index)
            with torch.no_grad():
                if self.derivative == "average":
                    split = ti + u[index] * (ri - ti)
                    stopped = averaged_field(teacher or flow_map, x, ti, split, ri, c)
                else:
                    velocity = flow_map.interpolant.velocity(x0[index], x1[index], ti)
                    m, residual = cumulative_residual(
                        flow_map,
                        x.float() if x.dtype == torch.bfloat16 else x,
                        ti,
                        ri,
                        velocity,
                        c,
                        step=None if self.derivative == "jvp" else self.step,
                    )
                    stopped = m - residual
            target = target.index_copy(0, index, stopped.to(target.dtype))
        loss = mean_square(predicted - target)
        off = (r > t).to(loss.dtype)
        return Losses(loss, {"diagonal": loss * (1 - off), "map": loss * off})


def cumulative_residual(
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    t: Times,
    r: Times,
    velocity: Float[Tensor, "b *s"],
    cond: Condition | None = None,
    *,
    step: float | None = None,
) -> tuple[Float[Tensor, "b *s"], Float[Tensor, "b *s"]]:
    """m_{t->r}(x) and rho = D psi_{t->r}(x) / P'(t, t), along the given velocity.

    The derivative of m is forward-mode (`step` None) or a forward difference. Autocast is
    switched off: a difference of close bfloat16 values has no correct digit.
    """
    p, q = flow_map.prediction.coefficients(t, r)
    dp, dq = flow_map.prediction.from_derivatives(t, r)
    scale, _ = flow_map.prediction.from_derivatives(t, t)

    def field(x: Tensor, t: Tensor) -> Tensor:
        return flow_map.field(x, t, r, cond)

    with torch.autocast(x.device.type, enabled=False):
        if step is None:
            m, dm = torch.func.jvp(field, (x, t), (velocity, torch.ones_like(t)))
        else:
            h = (r - t).clamp(1e-5, step)
            m = field(x, t)
            dm = (field(x + expand_time(h, like=x) * velocity, t + h) - m) / expand_time(h, like=x)
    total = (
        expand_time(dp, like=x) * m
        + expand_time(p, like=x) * dm
        + expand_time(dq, like=x) * x
        + expand_time(q, like=x) * velocity
    )
    return m, total / expand_time(scale, like=x)


def averaged_field(
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    t: Times,
    s: Times,
    r: Times,
    cond: Condition | None = None,
) -> Float[Tensor, "b *s"]:
    """m_{t->r}(x) from m_{t->s} and m_{s->r}, exact for the true map; t <= s <= r, t < r."""
    prediction = flow_map.prediction
    p_ts, q_ts = (expand_time(c, like=x) for c in prediction.coefficients(t, s))
    p_sr, q_sr = (expand_time(c, like=x) for c in prediction.coefficients(s, r))
    p_tr, q_tr = (expand_time(c, like=x) for c in prediction.coefficients(t, r))
    first = flow_map.field(x, t, s, cond)
    second = flow_map.field(p_ts * first + q_ts * x, s, r, cond)
    return (p_sr * second + q_sr * p_ts * first + (q_sr * q_ts - q_tr) * x) / p_tr
