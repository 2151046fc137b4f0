"""What trainings of clouds report beside their loss: distances of reconstructions, and sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor

from geoflow.geometry.metrics import chamfer_distance
from geoflow.geometry.sdf import Solid
from geoflow.models.clouds import PointGenerator
from geoflow.models.latent import Shape
from geoflow.training.reports import Validate, Validation
from geoflow.training.run import Run
from geoflow_datasets.bank import CloudBank, ShapeBank
from geoflow_datasets.sources import Gives
from geoflow_tools.validation.draws import disjoint_draws, distance_to_surface, whole_shape
from geoflow_tools.validation.samples import NUM_POINTS, validate_shapes
from geoflow_viewer.picture import contact_sheet

Bank = ShapeBank | CloudBank
GIVES: Gives = "points"
"""What this kind is trained on, of a source."""
_ENCODED_POINTS = 1024
RECONSTRUCTION_STEPS = (1, 2, 4)


@dataclass(frozen=True)
class PointReconstruction:
    """Means over shapes, by evaluations of the flow of points.

    `chamfer` is unsquared, to points that were not encoded; `floor` is that between two draws of
    the surface that share no point. `surface` is the distance of the points to the surface itself,
    whose floor is 0: it shows scatter. It is known of procedural shapes, and empty for others.
    """

    chamfer: dict[str, float]
    floor: float
    surface: dict[str, float]


def validator(run: Run, loaded: Any) -> Validate:
    """Reconstructions in the first stage, samples in the second, as numbers and sheets."""

    def reconstructions(model: PointGenerator, path: Path) -> dict[str, float]:
        points = write_point_reconstructions(model, loaded.validation, path)
        report = {f"validation_chamfer_{k}": value for k, value in points.chamfer.items()}
        report |= {f"validation_surface_{k}": value for k, value in points.surface.items()}
        return report | {"validation_chamfer_floor": points.floor}

    def validate(progress: Any) -> Validation:
        return validate_shapes(run, loaded, progress, reconstructions)

    return validate


def clouds(points: Tensor) -> list[Shape | None]:
    """Tensors (b, n, 3) as clouds that may be drawn and written."""
    return [trimesh.PointCloud(cloud.double().cpu().numpy()) for cloud in points]


def reconstruct_points(
    generator: PointGenerator, data: Bank, *, num: int
) -> tuple[PointReconstruction, dict[str, Tensor]]:
    """Encode the first `num` shapes, draw their points anew; distances, and clouds by name."""
    num = min(num, len(data))
    sizes = (_ENCODED_POINTS, NUM_POINTS, NUM_POINTS)
    parts = [disjoint_draws(data, row, sizes, seed=0) for row in range(num)]
    given, reference, other = (
        torch.from_numpy(np.stack(part)).float() for part in zip(*parts, strict=True)
    )
    with torch.no_grad():
        tokens = generator.encode_points(given.to(generator.device), None)
    drawn = {"data": reference}
    for steps in RECONSTRUCTION_STEPS:
        drawn[str(steps)] = generator.decode(tokens, reference.shape[1], steps=steps).cpu()
    shaken = tokens + 0.2 * torch.randn(
        tokens.shape, generator=torch.Generator().manual_seed(1)
    ).to(tokens)
    distances = {
        name: _mean_chamfer(points, reference) for name, points in drawn.items() if name != "data"
    }
    drawn["latent perturbed"] = generator.decode(shaken, NUM_POINTS, steps=2).cpu()
    whole = [whole_shape(data, row) for row in range(num)]
    surface = {}
    if all(solids is not None for solids in whole):
        surface = {name: _mean_distance(whole, drawn[name]) for name in distances}
    return PointReconstruction(distances, _mean_chamfer(other, reference), surface), drawn


def write_point_reconstructions(
    generator: PointGenerator, data: Bank, path: Path, *, num: int = 8
) -> PointReconstruction:
    """Data, reconstructions and what perturbed latents give, as a picture; their distances."""
    numbers, drawn = reconstruct_points(generator, data, num=num)
    labels = [f"{name} steps" if name.isdigit() else name for name in drawn]
    contact_sheet([clouds(points) for points in drawn.values()], labels, path, size=160)
    return numbers


def data_rows(
    generator: PointGenerator, shapes: list[Shape], bank: Bank, resolution: int
) -> list[list[Shape | None]]:
    """Points of shapes, and their reconstructions in two evaluations, as rows of a sheet."""
    _, drawn = reconstruct_points(generator, bank, num=len(shapes))
    return [clouds(drawn["data"]), clouds(drawn["2"])]


def _mean_distance(whole: Sequence[list[Solid] | None], drawn: Tensor) -> float:
    pairs = zip(whole, drawn.double().numpy(), strict=True)
    found = [distance_to_surface(solids, points) for solids, points in pairs if solids is not None]
    return float(np.mean(found))


def _mean_chamfer(a: Tensor, b: Tensor) -> float:
    pairs = zip(a.double().numpy(), b.double().numpy(), strict=True)
    return float(np.mean([chamfer_distance(x, y) for x, y in pairs]))
