"""What trainings of meshes report beside their loss: reconstruction numbers and contact sheets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor

from geoflow.geometry.metrics import (
    chamfer_distance,
    f_score,
    normal_consistency,
    volume_iou,
)
from geoflow.models.latent import Detail, Shape
from geoflow.models.meshes import FieldGenerator
from geoflow.training.reports import Validate, Validation
from geoflow.training.run import Run
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.sources import Gives
from geoflow_tools.validation.samples import surface_points, validate_shapes
from geoflow_viewer.picture import contact_sheet

GIVES: Gives = "fields"
"""What this kind is trained on, of a source."""
_ENCODED_POINTS = 2048
_REPORTED = ("iou", "chamfer", "f_score", "normal_consistency")


@dataclass(frozen=True)
class Reconstruction:
    """Means over shapes and failures.

    Volume IoU is at uniform points, the Chamfer distance unsquared, the F-score at a hundredth of
    the longest edge. Two samplings of one surface already differ: `chamfer_floor` is that
    distance, between two samplings of the reconstruction with as many points.
    """

    iou: float
    chamfer: float
    chamfer_floor: float
    f_score: float
    normal_consistency: float
    empty: int


def validator(run: Run, loaded: Any) -> Validate:
    """Reconstructions in the first stage, samples in the second, as numbers and sheets."""

    def reconstructions(model: FieldGenerator, path: Path) -> dict[str, float]:
        numbers = write_reconstruction_sheet(model, loaded.validation, path)
        return {f"validation_{name}": getattr(numbers, name) for name in _REPORTED}

    def validate(progress: Any) -> Validation:
        return validate_shapes(run, loaded, progress, reconstructions)

    return validate


def encode_shape(generator: FieldGenerator, bank: ShapeBank, index: int) -> Tensor:
    """Latent tokens (k, c) of one shape of a bank."""
    batch = bank.batch(
        np.array([index]),
        num_surface=_ENCODED_POINTS,
        num_queries=1,
        generator=torch.Generator().manual_seed(index),
    )
    with torch.no_grad():
        surface, normals = batch.surface.to(generator.device), batch.field()[0].to(generator.device)
        return generator.encode_points(surface, normals)[0]


def reconstruct(
    generator: FieldGenerator, bank: ShapeBank, *, num: int, resolution: int = 96
) -> tuple[Reconstruction, list[trimesh.Trimesh | None]]:
    """Encode and decode the first `num` shapes of a bank; numbers and meshes."""
    ious, rows = [], []
    meshes: list[trimesh.Trimesh | None] = []
    for i in range(min(num, len(bank))):
        tokens = encode_shape(generator, bank, i)
        queries, sdf = bank.uniform_queries(i)
        predicted = generator.field(tokens)(torch.from_numpy(queries)).cpu().numpy()
        ious.append(volume_iou(predicted < 0, sdf < 0))
        (mesh,) = generator.shapes(tokens[None], Detail(resolution))
        meshes.append(mesh)
        if mesh is not None:
            rows.append(_surface_numbers(mesh, bank, i, seed=i, other_seed=num + i))
    names = ("chamfer", "chamfer_floor", "f_score", "normal_consistency")
    means = np.mean(rows, axis=0) if rows else np.full(len(names), np.nan)
    numbers = dict(zip(names, map(float, means), strict=True))
    return Reconstruction(iou=float(np.mean(ious)), empty=meshes.count(None), **numbers), meshes


def _surface_numbers(
    mesh: trimesh.Trimesh, bank: ShapeBank, index: int, *, seed: int, other_seed: int
) -> tuple[float, float, float, float]:
    """Chamfer distance, its floor, F-score and normal consistency with a shape of a bank."""
    surface = np.asarray(bank.surface[index], dtype=np.float64)
    normals = np.asarray(bank.normals[index], dtype=np.float64)
    points, faces = trimesh.sample.sample_surface(mesh, len(surface), seed=seed)
    return (
        chamfer_distance(points, surface),
        chamfer_distance(points, surface_points(mesh, seed=other_seed, num=len(surface))),
        f_score(points, surface),
        normal_consistency(points, mesh.face_normals[faces], surface, normals),
    )


def write_reconstruction_sheet(
    generator: FieldGenerator, bank: ShapeBank, path: Path, *, num: int = 8
) -> Reconstruction:
    """Reconstructions, and what their latents give when perturbed, as a picture."""
    numbers, meshes = reconstruct(generator, bank, num=num, resolution=64)
    noise = torch.Generator().manual_seed(0)
    shaken: list[Shape | None] = []
    for i in range(len(meshes)):
        tokens = encode_shape(generator, bank, i)
        shift = 2 * generator.config.autoencoder.noise * torch.randn(tokens.shape, generator=noise)
        shaken += generator.shapes((tokens + shift.to(tokens))[None], Detail(64))
    contact_sheet([[*meshes], [*shaken]], ["reconstruction", "latent perturbed"], path, size=120)
    return numbers


def data_rows(
    generator: FieldGenerator, shapes: list[Shape], bank: ShapeBank, resolution: int
) -> list[list[Shape | None]]:
    """Shapes, and their reconstructions, as rows of a sheet."""
    rebuilt = [
        shape
        for i in range(len(shapes))
        for shape in generator.shapes(encode_shape(generator, bank, i)[None], Detail(resolution))
    ]
    return [[*shapes], [*rebuilt]]
