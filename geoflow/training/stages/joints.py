"""Training of a rigger: sets of noise points to joints, given surface points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.condition import Condition
from geoflow.couplings import COUPLINGS
from geoflow.models.joints import Rigger, standardise
from geoflow.objectives import FlowMatching, build_objective
from geoflow.seeds import step_generator
from geoflow.training.ema import Ema
from geoflow.training.loop import Progress, descend
from geoflow.training.optimisation import Optimiser, Schedule

STAGE = "joints"


class FigureDataset(Protocol):
    """Figures by index, as the trainer sees them."""

    def __len__(self) -> int:
        """Number of figures."""

    def batch(
        self, indices: Int[np.ndarray, " b"], *, num_points: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b j 3"], Int[Tensor, " b"]]:
        """Random surface points; joints, filled up to one number; how many there are."""


@dataclass(frozen=True)
class JointTraining:
    """Options of the training."""

    steps: int = 2_000
    """Optimiser steps."""
    batch: int = 24
    """Figures of a step."""
    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    coupling: str = "points"
    """Key of COUPLINGS."""
    diagonal_first: float = 0.4
    """Share of the run, at its start, that is flow matching alone."""
    ema: float = 0.995
    """Decay of the moving average of the weights, which is what is kept."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=3e-3, warmup=100))
    """Learning rate."""


def repeat_joints(
    joints: Float[Tensor, "b j 3"],
    counts: Int[Tensor, " b"],
    num: int,
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "b k 3"]:
    """A cloud of `num` points, each joint as often as any other, or once more at random.

    Raises:
        ValueError: if a figure has more joints than the cloud has points.
    """
    if int(counts.max()) > num:
        raise ValueError(f"a figure has {int(counts.max())} joints, the cloud only {num} points")
    ranks = torch.rand(joints.shape[:2], generator=generator)
    # Joints that are there in random order first, filling behind them.
    filling = torch.arange(joints.shape[1]) >= counts[:, None]
    order = ranks.masked_fill(filling, 2.0).argsort(dim=1)
    index = order.gather(1, torch.arange(num) % counts[:, None])
    return joints.gather(1, index[..., None].expand(-1, -1, 3))


def train_joints(
    model: Rigger,
    teacher: Ema[Any],
    data: FigureDataset,
    optimiser: Optimiser,
    options: JointTraining,
    *,
    seed: int = 0,
    start: int = 0,
    device: str = "cpu",
) -> Iterator[Progress]:
    """Yield after every step from `start` on.

    Raises:
        FloatingPointError: if the loss is not finite; nothing of that step is applied.
        ValueError: for figures with more joints than the cloud has points.
    """
    flow_map = model.flow_map.train()
    objective, warm_up = build_objective(options.objective), FlowMatching()
    coupling = COUPLINGS[options.coupling]()
    for step in range(start, options.steps):
        generator = step_generator(seed, STAGE, step)
        rows = torch.randint(len(data), (options.batch,), generator=generator).numpy()
        points, joints, counts = data.batch(
            rows, num_points=model.config.num_points, generator=generator
        )
        centre, scale = standardise(points)
        x1 = repeat_joints(
            (joints - centre) / scale, counts, model.config.cloud, generator=generator
        )
        x0 = coupling(torch.randn(x1.shape, generator=generator), x1).to(device)
        cond = Condition(points=((points - centre) / scale).to(device))
        current = warm_up if step < options.diagonal_first * options.steps else objective
        losses = current(
            flow_map, x0, x1.to(device), cond, generator=generator, teacher=teacher.module
        )
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
