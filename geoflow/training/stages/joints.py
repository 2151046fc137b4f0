"""Training of a rigger: sets of noise points to joints, given surface points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.condition import Condition
from geoflow.couplings import COUPLINGS
from geoflow.models.joints import Rigger, standardise
from geoflow.objectives import Losses, build_objective
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context
from geoflow.training.stages.flow import (
    FlowOptions,
    FlowStage,
    check_objective,
    check_targets,
    current_objective,
)
from geoflow.typing import Count, Share


@runtime_checkable
class FigureDataset(Protocol):
    """Figures by index, as the trainer sees them."""

    def __len__(self) -> int:
        """Number of figures."""

    def batch(
        self, indices: Int[np.ndarray, " b"], *, num_points: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b j 3"], Int[Tensor, " b"]]:
        """Random surface points; joints, filled up to one number; how many there are."""


@dataclass(frozen=True)
class JointTraining(FlowOptions):
    """Options of the training."""

    steps: int = 2_000
    """Optimiser steps."""
    batch: Count = 24
    """Figures of a step."""
    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    coupling: str = "points"
    """Key of COUPLINGS."""
    diagonal_first: Share = 0.4
    """Share of the run, at its start, that is flow matching alone."""
    bf16: bool = False
    """Distances between points need their digits."""
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


class Figures(NamedTuple):
    """Joints of a step's figures, as often as the cloud has points, and their surfaces."""

    x0: Float[Tensor, "b k 3"]
    x1: Float[Tensor, "b k 3"]
    cond: Condition


class JointStage(FlowStage[Rigger, Figures]):
    """Trains a `Rigger`; the context's data is a `FigureDataset`."""

    name = "joints"
    options_type = JointTraining

    def __init__(self, options: JointTraining, context: Context) -> None:
        super().__init__(options, context)
        check_targets(options.targets, options.coupling)
        self._objective = build_objective(options.objective)
        check_objective(self._objective, self.module)

    def batch(self, generator: torch.Generator) -> Figures:
        """Random figures, each of mean 0 and unit variance.

        Raises:
            ValueError: for figures with more joints than the cloud has points.
        """
        data: FigureDataset = self.context.data
        config, device = self.model.config, self.context.device
        rows = torch.randint(len(data), (self.options.batch,), generator=generator).numpy()
        points, joints, counts = data.batch(rows, num_points=config.num_points, generator=generator)
        centre, scale = standardise(points)
        x1 = repeat_joints((joints - centre) / scale, counts, config.cloud, generator=generator)
        coupling = COUPLINGS[self.options.coupling]()
        cond = Condition(points=(points - centre) / scale)
        x0 = coupling(torch.randn(x1.shape, generator=generator), x1, cond)
        return Figures(x0.to(device), x1.to(device), cond.to(device))

    def loss(self, batch: Figures, step: int, generator: torch.Generator) -> Losses:
        """Losses of the clouds of joints."""
        objective = current_objective(self._objective, self.options, step)
        return objective(self.module, *batch, generator=generator, average=self.slow)
