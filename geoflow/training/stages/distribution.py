"""Training of a geometry distribution: fresh points of one surface in every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.models.distribution import GeometryDistribution
from geoflow.objectives import FlowMatching, build_objective
from geoflow.seeds import step_generator
from geoflow.training.ema import Ema
from geoflow.training.loop import Progress, descend
from geoflow.training.optimisation import Optimiser, Schedule

STAGE = "distribution"

# Objectives without published shares of their own.
_AVERAGING = ("cumulative", "shortcut")

Draw = Callable[[int, torch.Generator], Float[Tensor, "n c"]]
"""Points of the surface, of every channel, fresh in every call."""


@dataclass(frozen=True)
class DistributionTraining:
    """Options of the training."""

    steps: int = 5_000
    """Optimiser steps."""
    batch: int = 2_048
    """Points of a step."""
    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    diagonal_first: float = 0.25
    """Share of the run, at its start, that is flow matching alone."""
    diagonal: float = 0.25
    """Share of pairs with r = t, for objectives of the averaging law: the diagonal is learnt long
    before the jumps are."""
    end: float = 0.5
    """Share of the other pairs with r = 1, likewise."""
    ema: float = 0.99
    """Decay of the moving average of the weights, which is what is kept."""
    bf16: bool = True
    """Run the network under bfloat16 autocast."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=2e-3))
    """Learning rate."""


def train_distribution(
    model: GeometryDistribution,
    teacher: Ema[Any],
    draw: Draw,
    optimiser: Optimiser,
    options: DistributionTraining,
    *,
    seed: int = 0,
    start: int = 0,
    device: str = "cpu",
) -> Iterator[Progress]:
    """Yield after every step from `start` on.

    Raises:
        FloatingPointError: if the loss is not finite; nothing of that step is applied.
    """
    flow_map = model.flow_map.train()
    # Errors count as the preconditioned network sees them: surfaces are thin.
    space = "edm" if model.config.prediction == "x1" else "field"
    objective: Any = build_objective(options.objective)
    weight = replace(objective.weight, space=space, data_std=1.0, limit=1e6)
    shares = {"diagonal": objective.times.diagonal, "end": objective.times.end}
    if options.objective in _AVERAGING:
        shares = {"diagonal": options.diagonal, "end": options.end}
    times = replace(model.config.times, **shares)
    objective = replace(objective, weight=weight, times=times)
    warm_up = FlowMatching(weight=weight, times=times)
    for step in range(start, options.steps):
        generator = step_generator(seed, STAGE, step)
        x1 = model.scale.normalise(draw(options.batch, generator).to(device))
        x0 = torch.randn(x1.shape, generator=generator).to(device)
        current = warm_up if step < options.diagonal_first * options.steps else objective
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.bf16):
            losses = current(flow_map, x0, x1, generator=generator, teacher=teacher.module)
        yield descend(
            losses.total,
            losses.terms,
            flow_map,
            optimiser,
            teacher,
            stage=STAGE,
            step=step,
            steps=options.steps,
        )
