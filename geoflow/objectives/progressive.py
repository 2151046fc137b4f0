"""Progressive matching: one jump of the map against several jumps of a frozen one.

    L = E | m_{t->r}(x_t) - sg(y) |^2,    P y + Q x_t = (X_{s_k->r} o ... o X_{t->s_1})(x_t)

in units of the field; on the diagonal, flow matching. X is a frozen map (progressive flow map
matching; with two jumps, progressive distillation) or the map's own average (progressive
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
from geoflow.objectives.base import Distillation, Losses
from geoflow.times import TimePairs, UniformPairs
from geoflow.typing import Times


def composed_field(
    flow_map: FlowMap,
    source: FlowMap,
    x: Float[Tensor, "b *s"],
    t: Times,
    r: Times,
    cond: Condition | None = None,
    *,
    jumps: int,
) -> Float[Tensor, "b *s"]:
    """The field m_{t->r}(x) of a map that lands where equal jumps of a source land, for t < r."""
    state = x
    for i in range(jumps):
        start, end = t + (r - t) * (i / jumps), t + (r - t) * ((i + 1) / jumps)
        state = source(state, start, r if i == jumps - 1 else end, cond)
    return flow_map.field_between(x, state, t, r)


@dataclass(frozen=True, kw_only=True)
class Progressive(Distillation):
    """Match jumps of a frozen map by one.

    References: Boffi et al., 2024, arXiv:2406.07507; Salimans & Ho, 2022, arXiv:2202.00512.
    """

    frozen: FlowMap | None = None
    """The teacher's map, which jumps; None: the map's own average, anchored to data."""
    jumps: int = 2
    """Jumps of the frozen map."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5, end=0.4))
    """Distribution of the pairs of times."""

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
        average: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1; `average` jumps, unless `frozen` does."""
        sample = self.draw(flow_map, x0, x1, cond, generator)
        source = self.frozen or average or flow_map
        output = sample.field(flow_map)
        target = sample.conditional(flow_map).clone()
        off = sample.off
        if len(off) > 0:
            there = sample[off]
            with torch.no_grad():
                start = there.x, there.t, there.r, there.cond
                goal = composed_field(flow_map, source, *start, jumps=self.jumps)
            target[off] = goal.to(target.dtype)
        total = self.weight(flow_map, output - target, sample.t)
        return Losses.split(total, sample.is_apart)
