"""What a training run reports beside its loss: reconstruction numbers and contact sheets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh

from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.geometry.metrics import (
    chamfer_distance,
    f_score,
    normal_consistency,
    volume_iou,
)
from geoflow.models.clouds import PointGenerator
from geoflow.models.fields import Generator
from geoflow_datasets.bank import ShapeBank
from geoflow_tools.validation.clouds import NUM_POINTS, clouds
from geoflow_viewer.picture import contact_sheet

SHEET_STEPS = (1, 2, 4)
_NUM_POINTS = 2048
_ENCODED_POINTS = 2048


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


def encode_shape(generator: Generator, bank: ShapeBank, index: int) -> torch.Tensor:
    """Latent tokens (k, c) of one shape of a bank."""
    batch = bank.batch(
        np.array([index]),
        num_surface=_ENCODED_POINTS,
        num_queries=1,
        generator=torch.Generator().manual_seed(index),
    )
    frame = generator.frame_for(1)
    with torch.no_grad():
        surface, normals = batch.surface.to(generator.device), batch.normals.to(generator.device)
        return generator.autoencoder.encode(surface, normals, frame)[0]


def reconstruct(
    generator: Generator, bank: ShapeBank, *, num: int, resolution: int = 96
) -> tuple[Reconstruction, list[trimesh.Trimesh | None]]:
    """Encode and decode the first `num` shapes of a bank; numbers and meshes."""
    ious, rows, meshes = [], [], []
    for i in range(min(num, len(bank))):
        tokens = encode_shape(generator, bank, i)
        queries, sdf = bank.uniform_queries(i)
        predicted = generator.field(tokens)(torch.from_numpy(queries)).cpu().numpy()
        ious.append(volume_iou(predicted < 0, sdf < 0))
        mesh = try_decode(generator, tokens, resolution)
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


def surface_points(mesh: trimesh.Trimesh, *, seed: int, num: int = _NUM_POINTS) -> np.ndarray:
    """Uniform points on a mesh."""
    points, _ = trimesh.sample.sample_surface(mesh, num, seed=seed)
    return np.asarray(points)


def try_decode(
    generator: Generator, tokens: torch.Tensor, resolution: int
) -> trimesh.Trimesh | None:
    """Mesh of a latent; None where an untrained field has no surface."""
    try:
        return generator.decode(tokens, resolution=resolution)
    except EmptySurfaceError:
        return None


def sample_rows(
    generator: Generator | PointGenerator,
    *,
    num: int,
    steps: tuple[int, ...] = SHEET_STEPS,
    ode_steps: int | None = None,
    seed: int = 0,
    resolution: int = 96,
    category: str | None = None,
) -> tuple[list[list[trimesh.Trimesh | trimesh.PointCloud | None]], list[str]]:
    """Rows of samples from the same noise at several step counts, with labels."""
    noise = generator.noise(num, seed=seed)
    runs = [(count, False) for count in steps] + ([(ode_steps, True)] if ode_steps else [])
    rows, labels = [], []
    for count, ode in runs:
        tokens = generator.sample_latents(noise, steps=count, category=category, ode=ode)
        if isinstance(generator, PointGenerator):
            points = generator.decode(tokens, NUM_POINTS, steps=count, seed=seed, ode=ode)
            rows.append(clouds(points))
        else:
            rows.append([try_decode(generator, t, resolution) for t in tokens])
        unit = "step" if count == 1 else "steps"
        labels.append(f"{count} {unit}" + (" of the ODE" if ode else ""))
    return rows, labels


def write_reconstruction_sheet(
    generator: Generator, bank: ShapeBank, path: Path, *, num: int = 8
) -> Reconstruction:
    """Reconstructions, and what their latents give when perturbed, as a picture."""
    numbers, meshes = reconstruct(generator, bank, num=num, resolution=64)
    noise = torch.Generator().manual_seed(0)
    shaken = []
    for i in range(len(meshes)):
        tokens = encode_shape(generator, bank, i)
        shift = 2 * generator.config.autoencoder.noise * torch.randn(tokens.shape, generator=noise)
        shaken.append(try_decode(generator, tokens + shift.to(tokens), 64))
    contact_sheet([meshes, shaken], ["reconstruction", "latent perturbed"], path, size=120)
    return numbers


def write_sample_sheet(generator: Generator | PointGenerator, path: Path, *, num: int = 8) -> None:
    """1-, 2- and 4-step samples of the same noise as a picture; of several categories, each's."""
    names = generator.config.categories
    rows, labels = [], []
    for name in names:
        made, said = sample_rows(
            generator,
            num=num,
            steps=SHEET_STEPS if len(names) == 1 else (2,),
            resolution=64,
            category=name,
        )
        rows += made
        labels += said if len(names) == 1 else [f"{name}, {text}" for text in said]
    contact_sheet(rows, labels, path, size=120)
