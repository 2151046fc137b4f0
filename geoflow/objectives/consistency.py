"""Consistency: neighbours on one trajectory are carried to one place.

    psi_{t->r}(x_t) = psi_{s->r}(x_s),      s = t + h,

x_s being the same pair's state a step later (consistency training) or one Euler step of a frozen
velocity from x_t (consistency distillation). In units of the field, y being the field at (t, r)
that lands where psi_{s->r}(x_s) does,

    L = E | m_{t->r}(x_t) - sg(m_{t->r}(x_t) - rho) |^2,    rho = (m_{t->r}(x_t) - y) / max(w, w0)

w is the share that the step has in the averaging law of the field. At r = 1, where a consistency
model lives, psi_{1->1} is the identity, which anchors the map to the data; a map trained at r = 1
alone is sampled in one step. With r < 1 too this is Euler mean flow, where w0 < 1 keeps the pull
of the data, of size w, from vanishing with the step; on the diagonal it is flow matching.

References: Song et al., "Consistency Models", 2023, arXiv:2303.01469; Song & Dhariwal, "Improved
Techniques for Training Consistency Models", 2023, arXiv:2310.14189; Li et al., "Euler Mean Flow",
2026, arXiv:2602.02571.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, Weight
from geoflow.times import TimePairs, UniformPairs, expand_time
from geoflow.typing import Times


@dataclass(frozen=True)
class Consistency(Objective):
    """Match the ends of neighbouring states.

    References: Song et al., 2023, arXiv:2303.01469; Li et al., 2026, arXiv:2602.02571.
    """

    frozen: FlowMap | None = None
    """Teacher whose diagonal makes the step; None: the data pair makes it."""
    step: float = 0.05
    """Time h between neighbours, cut at r."""
    least_share: float = 1.0
    """The floor w0: 1 leaves the residual alone, less gives long jumps more of the data."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.0, end=1.0))
    """Law of the pairs of times."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: if the step or the least share is not in (0, 1].
        """
        for name in ("step", "least_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")

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
        """Losses of noise x0 paired with data x1; `teacher` carries the later state."""
        t, r = self.times.draw(x1, generator)
        s = torch.minimum(t + self.step, r)
        x = flow_map.interpolant.interpolate(x0, x1, t)
        output = flow_map.field(x, t, r, cond)
        target = flow_map.prediction.conditional(x0, x1, t).clone()
        is_apart = r > t
        (off,) = is_apart.nonzero(as_tuple=True)
        if len(off) > 0:
            there = None if cond is None else cond[off]
            here = (x[off], t[off], s[off], r[off])
            with torch.no_grad():
                neighbour = self._neighbour(flow_map, x0[off], x1[off], *here[:3], there)
                end = (teacher or flow_map)(neighbour, *here[2:], there)
                goal = flow_map.field_between(here[0], end, here[1], here[3])
                guess = output[off].to(target.dtype)
                share, _, _ = flow_map.prediction.average_weights(*here[1:])
                gain = expand_time(share.clamp(min=self.least_share), like=guess)
                target[off] = guess - (guess - goal.to(target.dtype)) / gain
        total = self.weight(flow_map, output - target, t)
        return Losses.split(total, is_apart)

    def _neighbour(
        self,
        flow_map: FlowMap,
        x0: Tensor,
        x1: Tensor,
        x: Tensor,
        t: Times,
        s: Times,
        cond: Condition | None,
    ) -> Tensor:
        if self.frozen is None:
            return flow_map.interpolant.interpolate(x0, x1, s)
        return self.frozen.apply_field(self.frozen.field(x, t, t, cond), x, t, s)
