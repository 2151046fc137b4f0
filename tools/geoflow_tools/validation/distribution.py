"""What trainings of geometry distributions report beside their loss: quality of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.geometry.metrics import Estimate, chamfer_distance
from geoflow.models.distribution import GeometryDistribution
from geoflow.training.reports import Validate, Validation
from geoflow.training.run import Run
from geoflow_tools.validation.step_quality import StepQuality, climb, finite

_SURFACE_POINTS = 4096


def validator(run: Run, loaded: Any) -> Validate:
    """Distance of points to those of the surface, by evaluations."""

    def validate(progress: Any) -> Validation:
        model: Any = run.averaged()
        return Validation({"quality": asdict(distribution_quality(model, loaded.train))})

    return validate


def distribution_quality(
    model: GeometryDistribution, draw: Callable[[int, torch.Generator], Float[Tensor, "n c"]]
) -> StepQuality:
    """Points of a distribution against points of its surface."""
    generator = torch.Generator().manual_seed(0)
    reference, other = (draw(_SURFACE_POINTS, generator)[:, :3].double().numpy() for _ in range(2))

    def measure(steps: int, ode: bool) -> Estimate:
        # As it is: a map that is hardly trained may overflow, which `sample` refuses.
        *_, points = model.trajectory(model.noise(_SURFACE_POINTS), steps=steps, ode=ode)
        points = points[:, :3]
        return Estimate(chamfer_distance(finite(points.double().numpy()), reference))

    label = f"Chamfer distance of {_SURFACE_POINTS:,} points to the surface"
    return climb(label, measure, Estimate(chamfer_distance(other, reference)))
