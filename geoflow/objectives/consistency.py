"""Consistency: neighbours on one trajectory are carried to one place.

    psi_{t->r}(x_t) = psi_{s->r}(x_s),      s = t + h,

x_s being the same pair's state a step later (consistency training) or one Euler step of a frozen
velocity from x_t (consistency distillation). In units of the field, y being the field at (t, r)
that lands where psi_{s->r}(x_s) does,

    L = E | m_{t->r}(x_t) - sg(m_{t->r}(x_t) - rho) |^2,    rho = (m_{t->r}(x_t) - y) / max(w, w0)

w is the share that the step has in the averaging law of the field. At r = 1, where a consistency
model lives, psi_{1->1} is the identity, which anchors the map to the data; a map trained at r = 1
alone is sampled in one step. A step that stays finite is paid for by a bias: the map at rest is off
the exact one by O(h) where data makes the step, whose neighbour holds noise of its own, and by O(h)
where Euler's method does, O(h^2) a step. So h falls in training, by `at`, from `step` to
`last_step`.

With r < 1 too this is Euler mean flow, where w0 < 1 keeps the pull of the data, of size w, from
vanishing with the step; on the diagonal it is flow matching. Steps that are shares of the way are
those of alpha-flow and SoFlow.

References: Song et al., "Consistency Models", 2023, arXiv:2303.01469; Song & Dhariwal, "Improved
Techniques for Training Consistency Models", 2023, arXiv:2310.14189; Li et al., "Euler Mean Flow",
2026, arXiv:2602.02571.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Distillation, Losses, PathSample
from geoflow.times import TimePairs, UniformPairs, expand_time
from geoflow.typing import Times


@dataclass(frozen=True, kw_only=True)
class Consistency(Distillation):
    """Match the ends of neighbouring states.

    References: Song et al., 2023, arXiv:2303.01469; Li et al., 2026, arXiv:2602.02571.
    """

    frozen: FlowMap | None = None
    """The teacher's map, whose diagonal makes the step; None: the data pair makes it."""
    step: float = 0.05
    """Time h between neighbours, cut at r."""
    is_relative: bool = False
    """Whether steps are shares of the way from t to r: 1 is the pair's own jump to r."""
    last_step: float | None = 0.005
    """Time between neighbours at the end of a run, reached by a constant factor; None: as ever."""
    least_share: float = 1.0
    """The floor w0: 1 leaves the residual alone, less gives long jumps more of the data."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.0, end=1.0))
    """Distribution of the pairs of times."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: if a step or the least share is not in (0, 1].
        """
        values = {"step": self.step, "least_share": self.least_share, "last_step": self.last_step}
        for name, value in values.items():
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {value}")

    def at(self, progress: float) -> Consistency:
        """With the step of that share of the run."""
        if self.last_step is None:
            return self
        return replace(self, step=self.step * (self.last_step / self.step) ** progress)

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
        """Losses of noise x0 paired with data x1; `average` carries the later state."""
        sample = self.draw(flow_map, x0, x1, cond, generator)
        output = sample.field(flow_map)
        target = sample.conditional(flow_map).clone()
        off = sample.off
        if len(off) > 0:
            with torch.no_grad():
                guess = output[off].to(target.dtype)
                target[off] = self._target(flow_map, average or flow_map, sample[off], guess)
        total = self.weight(flow_map, output - target, sample.t)
        return Losses.split(total, sample.is_apart)

    def _target(
        self, flow_map: FlowMap, average: FlowMap, sample: PathSample, guess: Tensor
    ) -> Tensor:
        """M - rho for the field m = `guess` of examples with t < r."""
        t, r = sample.t, sample.r
        step = self.step * (r - t) if self.is_relative else self.step
        s = torch.minimum(t + step, r)
        end = average(self._neighbour(flow_map, sample, s), s, r, sample.cond)
        goal = flow_map.field_between(sample.x, end, t, r)
        share, _, _ = flow_map.prediction.average_weights(t, s, r)
        gain = expand_time(share.clamp(min=self.least_share), like=guess)
        return guess - (guess - goal.to(guess.dtype)) / gain

    def _neighbour(self, flow_map: FlowMap, sample: PathSample, s: Times) -> Tensor:
        if self.frozen is None:
            return flow_map.interpolant.interpolate(sample.x0, sample.x1, s)
        field = sample.instantaneous(self.frozen)
        return self.frozen.apply_field(field, sample.x, sample.t, s)
