"""A training of a given processor time: flow matching first, then an objective.

Time counts and not steps, so that methods whose steps cost more take fewer of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives import FlowMatching, Objective, Pool
from geoflow.training.ema import Ema

_WARM_UP = 100
"""Steps in which the rate rises."""


@runtime_checkable
class Pace(Protocol):
    """How long a training takes, and how fast it goes."""

    @property
    def seconds(self) -> float:
        """Processor time, which other processes don't eat."""

    @property
    def learning_rate(self) -> float:
        """Peak rate of AdamW; it falls to zero by a half cosine of the time spent."""

    @property
    def diagonal_first(self) -> float:
        """Share of the time, at its start, that is flow matching alone."""

    @property
    def ema(self) -> float:
        """Decay of the moving average of the weights, which gives targets and answers."""


@dataclass(frozen=True)
class Pairs:
    """What a step learns from."""

    x0: Float[Tensor, "b *s"]
    """Noise."""
    x1: Float[Tensor, "b *s"]
    """Data."""
    cond: Condition | None = None
    """Condition of each example."""
    pool: Pool | None = None
    """Data that targets are averaged over."""


def train_for(
    flow_map: FlowMap,
    objective: Objective,
    draw: Callable[[torch.Generator], Pairs],
    pace: Pace,
    *,
    seed: int,
) -> tuple[int, Ema[FlowMap]]:
    """Train a map for a time; the steps that it took, at least one, and the moving average.

    Args:
        flow_map: the map.
        objective: of what follows the share of flow matching.
        draw: noise and data of a step.
        pace: time and rates.
        seed: of all draws.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    optimiser = torch.optim.AdamW(flow_map.parameters(), lr=pace.learning_rate)
    ema = Ema(flow_map, pace.ema)
    first = FlowMatching()
    start, step = time.process_time(), 0
    while (spent := (time.process_time() - start) / pace.seconds) < 1 or step == 0:
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / _WARM_UP)
            group["lr"] = pace.learning_rate * warm * (1 + math.cos(math.pi * spent)) / 2
        pairs = draw(generator)
        late = (spent - pace.diagonal_first) / (1 - pace.diagonal_first)
        current: Objective = first if late < 0 else objective.at(late)
        if pairs.pool is not None:
            current = replace(current, pool=pairs.pool)
        losses = current(
            flow_map, pairs.x0, pairs.x1, pairs.cond, generator=generator, average=ema.module
        )
        losses.total.mean().backward()
        torch.nn.utils.clip_grad_norm_(flow_map.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        ema.update(flow_map, step)
        step += 1
    return step, ema
