"""Consistency: neighbours on one trajectory end in one place.

    L = E | psi_{t->1}(x_t) - sg psi_{t+h->1}(x_{t+h}) |^2

x_{t+h} is the same pair's state a step later (consistency training) or one Euler step of a given
velocity from x_t (consistency distillation). psi_{1->1} is the identity, which anchors the map to
the data. It is the two-time family at r = 1: only jumps to the end are learnt, and a map
trained so is sampled in one step.

References: Song et al., "Consistency Models", 2023, arXiv:2303.01469; the shrinking step, Song &
Dhariwal, "Improved Techniques for Training Consistency Models", 2023, arXiv:2310.14189.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, Weight
from geoflow.times import TimePairs, UniformPairs, expand_time
from geoflow.typing import Condition


@dataclass(frozen=True)
class Consistency(Objective):
    """Match the ends of neighbouring states.

    Reference: Song et al., 2023, arXiv:2303.01469.
    """

    velocity: FlowMap | None = None
    """Teacher whose diagonal makes the step; None: the data pair makes it."""
    step: float = 0.05
    """Time h between neighbours, cut at t = 1."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=1.0))
    """Law of the times; only t is used."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example."""

    def __post_init__(self) -> None:
        """Check the step.

        Raises:
            ValueError: if it is not between 0 and 1.
        """
        if not 0 < self.step <= 1:
            raise ValueError(f"step must be in (0, 1], got {self.step}")

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
        """Losses of noise x0 paired with data x1; `teacher` gives the later end."""
        path = flow_map.interpolant
        t, _ = self.times.draw(x1, generator)
        later, one = (t + self.step).clamp(max=1.0), torch.ones_like(t)
        x = path.interpolate(x0, x1, t)
        with torch.no_grad():
            if self.velocity is None:
                neighbour = path.interpolate(x0, x1, later)
            else:
                h = expand_time(later - t, like=x)
                neighbour = x + h * self.velocity.velocity(x, t, cond)
            goal = (teacher or flow_map)(neighbour, later, one, cond)
        total = self.weight(flow_map, flow_map(x, t, one, cond) - goal, t)
        return Losses(total, {"map": total})
