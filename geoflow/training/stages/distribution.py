"""Training of a geometry distribution: fresh points of one surface in every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.objectives import FlowMatching, Losses, Pool, Weight, build_objective
from geoflow.seeds import step_generator
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context
from geoflow.training.stages.flow import (
    FlowOptions,
    FlowStage,
    Targets,
    check_objective,
    current_objective,
)
from geoflow.typing import Count, Share

# Objectives without published shares of their own.
_AVERAGING = ("cumulative", "shortcut")
_UNWEIGHTED = Weight()
# Points to which the scale is fitted.
_NUM_FIT = 65_536

Draw = Callable[[int, torch.Generator], Float[Tensor, "n c"]]
"""Points of the surface, of every channel, fresh in every call."""


@dataclass(frozen=True)
class DistributionTraining(FlowOptions):
    """Options of the training."""

    steps: int = 5_000
    """Optimiser steps."""
    batch: Count = 2_048
    """Points of a step."""
    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    diagonal_first: Share = 0.25
    """Share of the run, at its start, that is flow matching alone."""
    diagonal: Share = 0.25
    """Share of pairs with r = t, for objectives of the averaging law: the diagonal is learnt long
    before the jumps are."""
    end: Share = 0.5
    """Share of the other pairs with r = 1, likewise."""
    ema: float = 0.99
    """Decay of the moving average of the weights, which is what is kept."""
    targets: Targets = "pooled"
    """Of the points that a state was drawn from, or averaged over those of the step."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=2e-3))
    """Learning rate."""


def surface_weight(config: DistributionConfig, weight: Weight = _UNWEIGHTED) -> Weight:
    """A weight by which errors count as the preconditioned network sees them: surfaces are thin."""
    space: Any = "edm" if config.prediction == "x1" else "field"
    return replace(weight, space=space, data_std=1.0, limit=1e6)


class DistributionStage(FlowStage[GeometryDistribution, Float[Tensor, "n c"]]):
    """Trains a `GeometryDistribution`; the context's data is a `Draw`."""

    name = "distribution"
    options_type = DistributionTraining

    def __init__(self, options: DistributionTraining, context: Context) -> None:
        super().__init__(options, context)
        config = self.model.config
        objective: Any = build_objective(options.objective)
        weight = surface_weight(config, objective.weight)
        shares = {"diagonal": objective.times.diagonal, "end": objective.times.end}
        if options.objective in _AVERAGING:
            shares = {"diagonal": options.diagonal, "end": options.end}
        times = replace(config.times, **shares)
        self._objective = replace(objective, weight=weight, times=times)
        check_objective(self._objective, self.module)
        self._warm_up = FlowMatching(weight=weight, times=times)

    def prepare(self) -> None:
        """Fit the scale to points of the surface."""
        draw: Draw = self.context.data
        self.model.scale.fit(draw(_NUM_FIT, step_generator(self.context.seed, "scale", 0)))

    def batch(self, generator: torch.Generator) -> Float[Tensor, "n c"]:
        """Fresh points, scaled."""
        points = self.context.data(self.options.batch, generator).to(self.context.device)
        return self.model.scale.normalise(points)

    def loss(self, batch: Float[Tensor, "n c"], step: int, generator: torch.Generator) -> Losses:
        """Losses of single points."""
        x0 = torch.randn(batch.shape, generator=generator).to(batch.device)
        objective = current_objective(self._objective, self.options, step, self._warm_up)
        if self.options.targets == "pooled":
            objective = replace(objective, pool=Pool(batch))
        return objective(self.module, x0, batch, generator=generator, average=self.slow)
