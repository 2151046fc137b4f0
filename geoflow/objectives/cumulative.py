"""Cumulative flow maps: one identity, written once for every interpolant and prediction.

Differentiating psi_{t->r}(x_t) = P m + Q x_t along a trajectory, where it does not change, and
dividing by p = dP/dr at r = t leaves

    0 = rho = Q (m_{t->r} - m_t) - C D m_{t->r} - S x,      D = d/dt + b_t . grad,  C = P / p

with m_t the instantaneous field and S zero but for v. No coefficient is singular at r = 1. The
loss | m - sg(m - rho) |^2 takes m_t and b_t given (x0, x1): they enter linearly and behind the
stop-gradient sg, so its mean gradient is that of the marginal fields. At r = t, C = 0 and Q = 1:
flow matching.

The four published forms are settings: u-FM = MeanFlow (linear, u), x1-FM (linear, x1), DDIM
(vp, x1), EDM (ve, x1); rho / Q is the residual printed there.

The derivative-free form is the exact averaging law of the same field, for s between t and r,

    m_{t->r}(x) = w1 m_{t->s}(x) + w2 m_{s->r}(psi_{t->s}(x)) + w3 x.

References: Li et al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026,
arXiv:2605.03623, eq. 5-7; the averaging law with the clock of u, Boffi et al., "How to build a
consistency model", 2025, arXiv:2505.18825, and Frans et al., "One Step Diffusion via Shortcut
Models", 2024, arXiv:2410.12557.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, PathSample
from geoflow.objectives.forward_mode import forward_mode
from geoflow.times import TimePairs, UniformPairs, expand_time
from geoflow.typing import Times

Derivative = Literal["average", "jvp", "difference"]


def cumulative_residual(
    flow_map: FlowMap,
    output: Float[Tensor, "b *s"],
    instantaneous: Float[Tensor, "b *s"],
    derivative: Float[Tensor, "b *s"],
    x: Float[Tensor, "b *s"],
    t: Times,
    r: Times,
) -> Float[Tensor, "b *s"]:
    """The residual rho = Q (m - m_t) - C D m - S x of a field m = `output`, D m = `derivative`."""
    weights = flow_map.prediction.residual_weights(t, r)
    q, reach, bend = (expand_time(weight, like=x) for weight in weights)
    return q * (output - instantaneous) - reach * derivative - bend * x


def average_field(
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    t: Times,
    s: Times,
    r: Times,
    cond: Condition | None = None,
) -> Float[Tensor, "b *s"]:
    """The field m_{t->r}(x) that lands where the steps t -> s -> r land, for t <= s <= r, t < r."""
    first = flow_map.field(x, t, s, cond)
    second = flow_map.field(flow_map.apply_field(first, x, t, s), s, r, cond)
    weights = flow_map.prediction.average_weights(t, s, r)
    w1, w2, w3 = (expand_time(weight, like=x) for weight in weights)
    return w1 * first + w2 * second + w3 * x


def derivative_jvp(
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    velocity: Float[Tensor, "b *s"],
    t: Times,
    r: Times,
    cond: Condition | None = None,
) -> Float[Tensor, "b *s"]:
    """The derivative D m of the field along (velocity, 1) in (x, t), by forward mode."""

    def field_at(x: Tensor, t: Tensor) -> Tensor:
        return flow_map.field(x, t, r, cond)

    with forward_mode(x.device):
        derivative: Tensor = torch.func.jvp(field_at, (x, t), (velocity, torch.ones_like(t)))[1]
    return derivative


def derivative_difference(
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    velocity: Float[Tensor, "b *s"],
    t: Times,
    r: Times,
    cond: Condition | None = None,
    *,
    step: float,
) -> Float[Tensor, "b *s"]:
    """The derivative D m of the field by one forward difference, first order in `step`."""
    # No step beyond r, and the step that rounding left of it.
    later = torch.minimum(t + step, r)
    h = expand_time(later - t, like=x)
    with torch.autocast(x.device.type, enabled=False):
        difference = flow_map.field(x + h * velocity, later, r, cond) - flow_map.field(
            x, t, r, cond
        )
    return difference / h


@dataclass(frozen=True, kw_only=True)
class Cumulative(Objective):
    """Learn the cumulative field of two times from data alone.

    Reference: Li et al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026,
    arXiv:2605.03623.
    """

    derivative: Derivative = "average"
    """Averaging law, which needs no derivative; forward mode; or a forward difference."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5, end=0.4))
    """Distribution of the pairs of times."""
    step: float = 3e-4
    """Step of the forward difference, in time; 3e-4 suits float32."""
    split: float | None = None
    """Fraction of the way from t to r at which the averaging law splits; None: uniform."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for an unknown derivative, a step or a split out of range.
        """
        if self.derivative not in get_args(Derivative):
            raise ValueError(
                f"derivative must be one of {', '.join(get_args(Derivative))}, "
                f"got {self.derivative!r}"
            )
        if not self.step > 0:
            raise ValueError(f"step must be positive, got {self.step}")
        if self.split is not None and not 0 < self.split < 1:
            raise ValueError(f"split must lie between 0 and 1, got {self.split}")

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
        """Losses of noise x0 paired with data x1.

        Only the averaging law reads the average; without one the map is its own, under
        stop-gradient. Targets off the diagonal cost two evaluations without gradient each,
        those on it none.
        """
        sample = self.draw(flow_map, x0, x1, cond, generator)
        # Drawn for the whole batch, so that an example's split is its own.
        fraction = torch.rand(len(x1), generator=generator, dtype=x1.dtype)
        if self.split is not None:
            fraction = torch.full_like(fraction, self.split)
        fraction = fraction.to(x1.device)
        output = sample.field(flow_map)
        target = sample.conditional(flow_map).detach().clone()
        off = sample.off
        if len(off) > 0:
            with torch.no_grad():
                there = sample[off]
                if self.derivative == "average":
                    t, r = there.t, there.r
                    s = t + fraction[off] * (r - t)
                    goal = average_field(average or flow_map, there.x, t, s, r, there.cond)
                else:
                    goal = self._target(flow_map, there, output[off].to(target.dtype))
                target[off] = goal.to(target.dtype)
        total = self.weight(flow_map, output - target, sample.t)
        return Losses.split(total, sample.is_apart)

    def _target(self, flow_map: FlowMap, sample: PathSample, output: Tensor) -> Tensor:
        """M - rho for the field m = `output`, by a derivative along the pair's velocity."""
        x, t, r, cond = sample.x, sample.t, sample.r, sample.cond
        velocity = flow_map.interpolant.velocity(sample.x0, sample.x1, t)
        if self.derivative == "jvp":
            derivative = derivative_jvp(flow_map, x, velocity, t, r, cond)
        else:
            derivative = derivative_difference(flow_map, x, velocity, t, r, cond, step=self.step)
        instantaneous = sample.conditional(flow_map)
        return output - cumulative_residual(flow_map, output, instantaneous, derivative, x, t, r)
