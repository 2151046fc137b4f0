"""First stage for models of points: the encoder, and the flow of points given the latent.

    L = E l(m_{t->r}(x_t | z + noise), x1)

l is the loss of an objective on single points, x1 a fresh point of the shape whose other points
were encoded to z. Points go through the network in small groups with times of their own, so that
one step sees many pairs of times. As in the second stage flow matching comes first, and the
stopped targets are those of the moving average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.clouds import PointAutoencoder, PointGenerator
from geoflow.objectives import Losses, SetPool, build_objective
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Stage
from geoflow.training.stages.flow import FlowOptions, Targets, current_objective
from geoflow.training.stages.shapes import draw_shapes, frame_on
from geoflow.typing import Count, NonNegative, ShapeBatch, Share


@dataclass(frozen=True)
class PointTraining(FlowOptions):
    """Options of the first stage of a model of points."""

    steps: int = 6_000
    """Optimiser steps."""
    batch: Count = 16
    """Shapes of a step."""
    num_surface: Count = 384
    """Points that the encoder reads."""
    groups: Count = 8
    """Groups of points of a shape; each has its own pair of times."""
    group_points: Count = 96
    """Points of a group."""
    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    diagonal_first: Share = 0.3
    """Share of the run, at its start, that is flow matching alone."""
    targets: Targets = "pooled"
    """Averaged over the points of the same shape in the step."""
    noise: NonNegative = 0.1
    """Standard deviation of the Gaussian added to the latent."""
    mirror: bool = True
    """Mirror shapes left to right at random."""


class PointAutoencoderStage(Stage[PointGenerator, ShapeBatch]):
    """Trains the encoder and the flow of points of a `PointGenerator`."""

    name = "autoencoder"
    options_type = PointTraining

    @property
    def module(self) -> PointAutoencoder:
        """The autoencoder."""
        return self.model.autoencoder

    @property
    def slow(self) -> FlowMap:
        """The moving average of the flow of points."""
        assert self.average is not None, "the loop makes the average before the first step"
        average: PointAutoencoder = self.average.module
        return average.flow

    @classmethod
    def fine_tuning(cls) -> PointTraining:
        """A tenth of the steps at a third of the rate, for weights that are good already."""
        return PointTraining(steps=600, diagonal_first=0.0, schedule=Schedule(learning_rate=1e-3))

    def batch(self, generator: torch.Generator) -> ShapeBatch:
        """Points of random shapes: those that are encoded, then those that are learnt."""
        options: PointTraining = self.options
        return draw_shapes(
            self.context.data,
            options.batch,
            num_surface=options.num_surface + options.groups * options.group_points,
            num_queries=1,
            mirror=options.mirror,
            generator=generator,
            device=self.context.device,
        )

    def loss(self, batch: ShapeBatch, step: int, generator: torch.Generator) -> Losses:
        """Losses of the groups of points, given the latents of other points."""
        options: PointTraining = self.options
        module, device = self.module, self.context.device
        num = options.groups * options.group_points
        given, drawn = batch.surface.split([options.num_surface, num], dim=1)
        x1 = drawn.reshape(-1, options.group_points, 3) / module.spread
        x0 = torch.randn(x1.shape, generator=generator).to(device)
        frame = frame_on(self.model.config.symmetry, len(given), device)
        tokens = module.encode(given, frame)
        shift = torch.randn(tokens.shape, generator=generator).to(device)
        cond = Condition(frame, tokens=tokens + options.noise * shift).repeat(options.groups)
        objective = current_objective(build_objective(options.objective), options, step)
        if options.targets == "pooled":
            near = drawn.repeat_interleave(options.groups, dim=0) / module.spread
            objective = replace(objective, pool=SetPool(near))
        return objective(module.flow, x0, x1, cond, generator=generator, average=self.slow)
