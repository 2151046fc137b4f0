"""Progressive matching: one jump of the map against several jumps of a frozen one.

    L = E | m_{t->r}(x_t) - sg(y) |^2,    P y + Q x_t = (X_{s_k->r} o ... o X_{t->s_1})(x_t)

in units of the field; on the diagonal, flow matching. X is a given teacher (progressive flow map
matching; with two jumps, progressive distillation) or the map's own slow copy (progressive
self-distillation, PSD), where two equal jumps are the shortcut model's law and jumps split at
random are the averaging law of `Cumulative`.

References: Boffi et al., "Flow map matching", 2024, arXiv:2406.07507; Salimans & Ho,
"Progressive Distillation", 2022, arXiv:2202.00512; Frans et al., "One Step Diffusion via
Shortcut Models", 2024, arXiv:2410.12557.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, Weight
from geoflow.times import TimePairs, UniformPairs
from geoflow.typing import Times


def composed_field(
    flow_map: FlowMap,
    x: Float[Tensor, "b *s"],
    t: Times,
    r: Times,
    cond: Condition | None = None,
    *,
    jumps: int,
) -> Float[Tensor, "b *s"]:
    """The field m_{t->r}(x) that lands where equal jumps from t to r land, for t < r."""
    state = x
    for i in range(jumps):
        start, end = t + (r - t) * (i / jumps), t + (r - t) * ((i + 1) / jumps)
        state = flow_map(state, start, r if i == jumps - 1 else end, cond)
    return flow_map.field_between(x, state, t, r)


@dataclass(frozen=True)
class Progressive(Objective):
    """Match jumps of a frozen map by one.

    References: Boffi et al., 2024, arXiv:2406.07507; Salimans & Ho, 2022, arXiv:2202.00512.
    """

    frozen: FlowMap | None = None
    """Teacher that jumps; None: the map's own slow copy, anchored to the data."""
    jumps: int = 2
    """Jumps of the frozen map."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5, end=0.4))
    """Law of the pairs of times."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example."""

    def __post_init__(self) -> None:
        """Check the number of jumps.

        Raises:
            ValueError: for fewer than two.
        """
        if self.jumps < 2:
            raise ValueError(f"jumps must be at least 2, got {self.jumps}")

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
        """Losses of noise x0 paired with data x1; `teacher` jumps, unless `frozen` does."""
        t, r = self.times.draw(x1, generator)
        x = flow_map.interpolant.interpolate(x0, x1, t)
        source = self.frozen or teacher or flow_map
        output = flow_map.field(x, t, r, cond)
        target = flow_map.prediction.conditional(x0, x1, t).clone()
        is_apart = r > t
        (off,) = is_apart.nonzero(as_tuple=True)
        if len(off) > 0:
            there = None if cond is None else cond[off]
            with torch.no_grad():
                goal = composed_field(source, x[off], t[off], r[off], there, jumps=self.jumps)
            target[off] = goal.to(target.dtype)
        total = self.weight(flow_map, output - target, t)
        return Losses.split(total, is_apart)
