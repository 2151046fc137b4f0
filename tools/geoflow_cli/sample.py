"""`geoflow sample`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow.atomic import write_bytes
from geoflow.geometry.mesh import MIN_FACES, summarise, turn_up, write_mesh
from geoflow_cli.checks import (
    check_at_least,
    check_output,
    check_resolution,
    refuse_options,
    resolve_device,
)
from geoflow_cli.errors import UsageError, failing
from geoflow_cli.options import Sample
from geoflow_cli.sample_distribution import check_distribution, sample_distribution
from geoflow_cli.sample_points import check_points, sample_points

if TYPE_CHECKING:
    import trimesh

    from geoflow.models.fields import Generator
    from geoflow.models.kinds import ModelFile

_PREVIEW_COLUMNS = 6
_PREVIEW_SIZE = 240
_AZIMUTH = 35.0


def sample(options: Sample) -> None:
    """Check against what the model is, load, generate, write, and print one line per sample."""
    check_at_least("steps", options.steps, 1)
    from geoflow.models.clouds import PointGenerator
    from geoflow.models.kinds import describe_model, load_generator

    with failing():
        model = describe_model(options.model)
    _check(options, model)
    device = resolve_device(options.device)
    if model.kind == "distribution":
        sample_distribution(options, device)
        return
    with failing():
        generator = load_generator(options.model, device=device)
        paths = [numbered(options.out, i, options.num) for i in range(options.num)]
        if isinstance(generator, PointGenerator):
            shapes = sample_points(options, generator, paths)
        else:
            shapes = _sample_meshes(options, generator, paths)
        drawn = [
            (path.name, shape if options.preview else None)
            for path, shape in zip(paths, shapes, strict=True)
        ]
        if options.preview:
            from geoflow_viewer.picture import labelled_grid, png_bytes
            from geoflow_viewer.renderers import renderer_of

            picture = options.out.with_suffix(".png")
            labels, made = zip(*drawn, strict=True)
            renderer = renderer_of("auto", lambda said: print(f"geoflow: {said}", file=sys.stderr))
            (pictures,) = renderer.views(made, [_AZIMUTH], size=_PREVIEW_SIZE)
            columns = min(len(drawn), _PREVIEW_COLUMNS)
            write_bytes(picture, png_bytes(labelled_grid(labels, pictures, columns=columns)))
            print(f"{picture}: picture written")


def _check(options: Sample, model: ModelFile) -> None:
    """Everything that is wrong for this kind of model, before its weights are read."""
    if model.kind == "joints":
        raise UsageError(
            f"{options.model} finds joints of a mesh and has no samples: "
            f"geoflow rig --model {options.model} --mesh FIGURE --out joints.json"
        )
    if model.kind == "distribution":
        check_distribution(options)
        return
    check_at_least("num", options.num, 1)
    if options.category is not None and options.category not in model.categories:
        raise UsageError(
            f"--category must be one of {', '.join(model.categories)}, got {options.category!r}"
        )
    if model.kind == "points":
        check_points(options)
        return
    refuse_options(options, ("points",), because="a model of meshes")
    check_resolution(options.resolution)
    if options.faces is not None:
        check_at_least("faces", options.faces, MIN_FACES)
    check_output("out", options.out)


def _sample_meshes(
    options: Sample, generator: Generator, paths: list[Path]
) -> Iterator[trimesh.Trimesh]:
    meshes = generator.iterate(
        num=options.num,
        steps=options.steps,
        seed=options.seed,
        resolution=options.resolution,
        faces=options.faces,
        category=options.category,
    )
    for path, mesh in zip(paths, meshes, strict=True):
        write_mesh(turn_up(mesh, options.up), path)
        summary, made = summarise(mesh), mesh.metadata
        print(
            f"{path}: {summary.faces} faces, "
            f"{'watertight' if summary.is_watertight else 'not watertight'}, "
            f"{summary.components} component{'s' if summary.components != 1 else ''}, "
            f"volume {summary.volume:.4f}, {made['seconds']:.2f} s, "
            f"{made['nfe']} network evaluations, {made['field_queries']} field queries"
        )
        yield mesh


def numbered(path: Path, index: int, num: int) -> Path:
    """NAME.obj for one mesh, NAME-000.obj and on for several."""
    return path if num == 1 else path.with_name(f"{path.stem}-{index:03d}{path.suffix}")
