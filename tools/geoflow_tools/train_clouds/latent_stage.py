"""The flow of latents, its map fitted to whole solutions of its own ODE, as that of points is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.models.clouds import PointGenerator
from geoflow.objectives import Losses
from geoflow.solutions import Solutions, grid_of, map_errors
from geoflow.training.stage import StageOptions
from geoflow.training.stages.flow import FlowStage
from geoflow_tools.train_clouds.point_stage import on_device

_LATEST = 0.999


@dataclass(frozen=True)
class LatentSolutions(StageOptions):
    """Options of the flow of latents."""

    batch: int = 512
    """Latents of a step that flow matching sees."""
    solutions: int = 512
    """Solutions of a step."""
    pairs: int = 2
    """Pairs of each solution beside that from noise to data."""
    solver_steps: int = 12
    """Steps of Heun's method, of equal length."""


class LatentSolutionStage(FlowStage[PointGenerator, Tensor]):
    """Trains the flow map of latents; the context's data are latents in the flow's scale."""

    name = "flow"
    options_type = LatentSolutions

    def batch(self, generator: torch.Generator) -> Float[Tensor, "b k c"]:
        """Random latents."""
        data: Tensor = self.context.data
        index = torch.randint(len(data), (self.options.batch,), generator=generator)
        return data[index.to(data.device)]

    def loss(self, batch: Float[Tensor, "b k c"], step: int, generator: torch.Generator) -> Losses:
        """One number each: of flow matching, of jumps from noise to data, and of other jumps."""
        options: LatentSolutions = self.options
        rng = on_device(generator, batch.device)
        flow, model, num = self.module, self.model, options.solutions
        x0 = torch.randn(batch.shape, generator=rng, device=batch.device)
        t = torch.rand(len(batch), generator=rng, device=batch.device) * _LATEST
        x = flow.interpolant.interpolate(x0, batch, t)
        target = flow.prediction.conditional(x0, batch, t)
        diagonal = (flow.field(x, t, t, model.condition(len(batch))) - target).square().mean()
        noise = torch.randn(num, *batch.shape[1:], generator=rng, device=batch.device)
        times = grid_of(options.solver_steps, 1.0, generator)
        way = Solutions.solve(self.slow, noise, times, model.condition(num))
        rows = zip(way.ends(), way.random(num * options.pairs, rng), strict=True)
        i, j = (torch.cat(part) for part in rows)
        errors, _ = map_errors(flow, way.pairs(i, j), model.condition(len(i)))
        named = {"diagonal": diagonal, "one": errors[:num].mean(), "pairs": errors[num:].mean()}
        terms = {name: value[None] for name, value in named.items()}
        return Losses(torch.stack(list(terms.values())).sum(0), terms)
