"""Samples of a model as files, one after the other: those that are there are not made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trimesh

from geoflow.atomic import write_bytes
from geoflow.geometry.mesh import write_mesh
from geoflow.geometry.points import write_points
from geoflow.models.base import describe
from geoflow.models.kinds import describe_kind
from geoflow.models.latent import Detail, Shape

Sampler = Callable[[int], Shape | None]
"""Sample i of a model, the same in any run; None where its field has no surface."""


def open_sampler(
    model: str,
    *,
    steps: int,
    ode: bool,
    seed: int,
    resolution: int,
    points: int,
    category: str | None,
    device: str,
) -> Sampler:
    """What makes a model's shapes.

    Raises:
        CheckpointError: if there is no such model.
        ValueError: for an unknown category, or a model that makes no shapes of noise.
    """
    kind = describe_kind(model)
    if not kind.has_shapes:
        raise ValueError(f"{model} makes {kind.makes}, which cannot be compared with shapes")
    generator: Any = kind.model_class().from_pretrained(model, device=device)
    cond, detail = generator.condition(1, category=category), Detail(resolution, points)

    def sample(index: int) -> Shape | None:
        noise = generator.noise(1, seed=seed, first=index)
        tokens = generator.sample_latents(noise, cond, steps=steps, ode=ode)
        (shape,) = generator.shapes(tokens, detail, steps=steps, seed=seed, first=index, ode=ode)
        return shape

    return sample


def model_digest(model: str) -> str:
    """Digest of the weights of a model that `open_sampler` opens."""
    return hashlib.sha256(describe(model).path.read_bytes()).hexdigest()[:16]


def generate(folder: Path, num: int, sample: Sampler) -> Iterator[int]:
    """Write what is missing of samples 0..num-1, as NNNNN.ply or NNNNN.empty; yields each 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in missing(folder, num):
        shape, path = sample(index), folder / f"{index:05d}.ply"
        if shape is None:
            write_bytes(path.with_suffix(".empty"), b"")
        elif isinstance(shape, trimesh.PointCloud):
            write_points([shape.vertices], path, num=len(shape.vertices))
        else:
            write_mesh(shape, path)
        yield 1


def missing(folder: Path, num: int) -> list[int]:
    """The samples that are still to be made."""
    return [
        i
        for i in range(num)
        if not any((folder / f"{i:05d}{suffix}").is_file() for suffix in (".ply", ".empty"))
    ]


def generated(folder: Path, num: int) -> tuple[list[Path], int]:
    """Files of the samples that have a surface, and the number of those that have none."""
    files = [folder / f"{i:05d}.ply" for i in range(num)]
    found = [path for path in files if path.is_file()]
    return found, num - len(found)
