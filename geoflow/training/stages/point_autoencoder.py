"""First stage for models of points: the encoder, and the flow of points given the latent.

    L = E l(m_{t->r}(x_t | z + noise), x1)

l is the loss of an objective on single points, x1 a fresh point of the shape whose other points
were encoded to z. Points go through the network in small groups with times of their own, so that
one step sees many pairs of times. As in the second stage flow matching comes first, and the
stopped targets are those of the moving average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from geoflow.condition import Condition
from geoflow.models.clouds import PointAutoencoder
from geoflow.objectives import FlowMatching, build_objective
from geoflow.seeds import step_generator
from geoflow.symmetry import Symmetry, upright_frame
from geoflow.training.ema import Ema
from geoflow.training.loop import Progress, descend
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.stages.field_autoencoder import STAGE, mirror_batch
from geoflow.typing import ShapeDataset


@dataclass(frozen=True)
class PointTraining:
    """Options of the first stage of a model of points."""

    steps: int = 6_000
    """Optimiser steps."""
    batch: int = 16
    """Shapes of a step."""
    num_surface: int = 384
    """Points that the encoder reads."""
    groups: int = 8
    """Groups of points of a shape; each has its own pair of times."""
    group_points: int = 96
    """Points of a group."""
    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    diagonal_first: float = 0.3
    """Share of the run, at its start, that is flow matching alone."""
    noise: float = 0.1
    """Standard deviation of the Gaussian added to the latent."""
    mirror: bool = True
    """Mirror shapes left to right at random."""
    ema: float = 0.995
    """Decay of the moving average that gives the targets."""
    bf16: bool = True
    """Run the network under bfloat16 autocast."""
    schedule: Schedule = field(default_factory=Schedule)
    """Learning rate."""

    @staticmethod
    def fine_tuning() -> PointTraining:
        """A tenth of the steps at a third of the rate, for weights that are good already."""
        return PointTraining(steps=600, diagonal_first=0.0, schedule=Schedule(learning_rate=1e-3))


def train_point_autoencoder(
    model: PointAutoencoder,
    teacher: Ema[PointAutoencoder],
    data: ShapeDataset,
    optimiser: Optimiser,
    options: PointTraining,
    *,
    symmetry: Symmetry,
    seed: int = 0,
    start: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Progress]:
    """Yield after every step from `start` on; weights and moments are then those of the step.

    Raises:
        FloatingPointError: if the loss is not finite; nothing of that step is applied.
    """
    model.train()
    objective, warm_up = build_objective(options.objective), FlowMatching()
    num = options.groups * options.group_points
    for step in range(start, options.steps):
        generator = step_generator(seed, STAGE, step)
        indices = torch.randint(len(data), (options.batch,), generator=generator)
        batch = data.batch(
            indices.numpy(),
            num_surface=options.num_surface + num,
            num_queries=1,
            generator=generator,
        )
        flip = torch.ones(options.batch)
        if options.mirror:
            flip = torch.randint(2, (options.batch,), generator=generator) * 2.0 - 1.0
        points = mirror_batch(batch.surface, flip).to(device)
        given, drawn = points.split([options.num_surface, num], dim=1)
        x1 = drawn.reshape(-1, options.group_points, 3) / model.spread
        x0 = torch.randn(x1.shape, generator=generator).to(device)
        frame = upright_frame(symmetry, options.batch)
        frame = frame if frame is None else frame.to(device)
        current: Any = warm_up if step < options.diagonal_first * options.steps else objective
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.bf16):
            tokens = model.encode(given, None, frame)
            shift = torch.randn(tokens.shape, generator=generator).to(device)
            condition = _repeat(frame, tokens + options.noise * shift, options.groups)
            losses = current(
                model.law, x0, x1, condition, generator=generator, teacher=teacher.module.law
            )
        yield descend(
            losses.total,
            losses.terms,
            model,
            optimiser,
            teacher,
            stage=STAGE,
            step=step,
            steps=options.steps,
        )


def _repeat(frame: Tensor | None, tokens: Tensor, groups: int) -> Condition:
    """The condition of each group of points of each shape."""
    frames = None if frame is None else frame.repeat_interleave(groups, dim=0)
    return Condition(frames, tokens=tokens.repeat_interleave(groups, dim=0))
