"""`geoflow train` and `geoflow sample` of clouds of points."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow_cli.budget import foresee
from geoflow_cli.checks import check_at_least, check_folder, check_output, refuse_unread
from geoflow_cli.errors import UsageError
from geoflow_cli.kinds import Loaded, shapes
from geoflow_cli.kinds.shapes import ShapeSample, ShapeTrain
from geoflow_cli.options import KindName

if TYPE_CHECKING:
    from geoflow.models.base import ModelFile
    from geoflow.models.clouds import PointGenerator
    from geoflow.models.latent import Shape
    from geoflow.training.run import DataConfig, RunConfig
    from geoflow_datasets.sources import Gives

_GIVES: Gives = "points"
NUM_POINTS = 2048
# A surface needs more points than a cloud to look at.
NUM_SURFACE_POINTS = 20_000
MOST_POINTS = 10_000_000
# Bytes of a point in the smallest formats.
_POINT = 12


@dataclass(frozen=True)
class Train(ShapeTrain):
    """Train point clouds of shapes: an autoencoder, then a flow of its latents.

    --data is 'procedural', or a folder of clouds (.npy, .npz, .ply, .xyz, .pcd, .las or .laz) or of
    meshes. Without --out the run is in runs/CATEGORY. Steps are 6,000 for the autoencoder and
    12,000 for the flow, or a tenth of that with --init-from or --teacher.
    """

    kind: KindName = "points"
    """Point clouds."""


@dataclass(frozen=True)
class Sample(ShapeSample):
    """Generate clouds and write them by suffix: .ply, .xyz, .npy or .npz.

    The suffixes of meshes (.obj, .stl, .glb, .off, .3mf) give a surface through the points, open
    where it would be far from them. For several, NAME-000.ply and on.
    """

    points: int | None = None
    """Number of points. Default: 2,048, and 20,000 of a cloud that is made a mesh."""


def check(options: Train, given: Collection[str]) -> None:
    """Refuse what is wrong before anything slow."""
    shapes.check(options, given, gives=_GIVES)
    refuse_unread([options.data], given, gives=_GIVES)


default_folder, data_of = shapes.default_folder, shapes.data_of
config, fit_to = shapes.config, shapes.fit_to


def load(data: DataConfig, *, show_progress: bool) -> Loaded:
    """Banks of points."""
    return shapes.load(data, gives=_GIVES, show_progress=show_progress)


def hint(folder: Path, config: RunConfig) -> str:
    """How to sample the model."""
    return shapes.hint(folder, config, out="cloud.ply")


def check_sample(options: Sample, file: ModelFile) -> None:
    """Refuse what is wrong for this model, before its weights are read."""
    shapes.check_sample(options, file)
    if _is_cloud(options.out):
        check_folder("out", options.out)
    else:
        check_output("out", options.out)
    if options.points is not None:
        check_at_least("points", options.points, 1)
        if options.points > MOST_POINTS:
            raise UsageError(
                f"--points must be at most {MOST_POINTS:,}: a cloud is made in memory; "
                f"got {options.points:,}"
            )


def sample(options: Sample, model: PointGenerator) -> None:
    """Generate and write clouds, or surfaces through them; one line for each."""
    paths = shapes.numbered(options.out, options.num)
    points = _points(options)
    told = foresee(
        paths,
        size=_POINT * points if _is_cloud(options.out) else 0.0,
        parts=options.num * options.steps * max(points / NUM_POINTS, 1.0),
        part=lambda: model.sample(
            points=NUM_POINTS, steps=1, seed=options.seed, category=options.category
        ),
    )
    written = _written(options, model, paths)
    shapes.preview(options.out, paths, written, is_drawn=options.preview, told=told)


def _points(options: Sample) -> int:
    default = NUM_POINTS if _is_cloud(options.out) else NUM_SURFACE_POINTS
    return default if options.points is None else options.points


def _written(options: Sample, model: PointGenerator, paths: list[Path]) -> Iterator[Shape]:
    import numpy as np

    from geoflow.geometry.axes import turn_up
    from geoflow.geometry.mesh import summarise, write_mesh
    from geoflow.geometry.points import write_points
    from geoflow.geometry.reconstruction import reconstruct_surface

    is_cloud = _is_cloud(options.out)
    points = _points(options)
    clouds = model.iterate(
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
            summary = summarise(mesh)
            closed = (
                "watertight"
                if summary.is_watertight
                else "not watertight: cut where it was far from the points"
            )
            print(
                f"{path}: {summary.faces} faces, a surface reconstructed from the points "
                f"(Poisson, by Open3D), {closed}, {said}"
            )
            yield mesh


def _is_cloud(path: Path) -> bool:
    from geoflow.geometry.points import SUFFIXES

    return path.suffix.lower() in SUFFIXES
