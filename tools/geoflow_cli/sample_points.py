"""`geoflow sample` of a model of `--representation points`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoflow.geometry.mesh import turn_up, write_mesh
from geoflow.geometry.points import SUFFIXES, write_points
from geoflow.geometry.reconstruction import reconstruct_surface
from geoflow_cli.checks import check_at_least, check_folder, check_output, refuse_options
from geoflow_cli.options import Sample

if TYPE_CHECKING:
    from geoflow.models.clouds import PointGenerator

NUM_POINTS = 2048
# A surface needs more points than a cloud to look at.
NUM_SURFACE_POINTS = 20_000


def check_points(options: Sample) -> None:
    """Raise UsageError for options that are wrong, or not those of a model of clouds."""
    refuse_options(options, ("resolution", "faces"), because="a model of points")
    if _is_cloud(options.out):
        check_folder("out", options.out)
    else:
        check_output("out", options.out)
    if options.points is not None:
        check_at_least("points", options.points, 1)


def sample_points(
    options: Sample, generator: PointGenerator, paths: list[Path]
) -> Iterator[trimesh.Trimesh | trimesh.PointCloud]:
    """Generate and write clouds, or surfaces through them; one line for each."""
    is_cloud = _is_cloud(options.out)
    default = NUM_POINTS if is_cloud else NUM_SURFACE_POINTS
    points = default if options.points is None else options.points
    clouds = generator.iterate(
        num=options.num,
        points=points,
        steps=options.steps,
        seed=options.seed,
        category=options.category,
    )
    for path, cloud in zip(paths, clouds, strict=True):
        made = cloud.metadata
        said = (
            f"{points} points, {made['seconds']:.2f} s, "
            f"{made['nfe']} + {made['point_nfe']} network evaluations (shape + points)"
        )
        if is_cloud:
            vertices = np.asarray(turn_up(cloud, options.up).vertices)
            write_points([vertices], path, num=len(vertices))
            print(f"{path}: {said}")
            yield cloud
        else:
            mesh = reconstruct_surface(np.asarray(cloud.vertices))
            write_mesh(turn_up(mesh, options.up), path)
            print(
                f"{path}: {len(mesh.faces)} faces, a surface reconstructed from the points "
                f"(Poisson, by Open3D), {said}"
            )
            yield mesh


def _is_cloud(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
