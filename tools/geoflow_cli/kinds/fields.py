"""`geoflow train` and `geoflow sample` of meshes, by signed distance fields."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoflow_cli.budget import PART_RESOLUTION, bytes_of_mesh, foresee, parts_of_mesh
from geoflow_cli.checks import (
    check_at_least,
    check_faces,
    check_join,
    check_output,
    check_resolution,
    check_size,
    refuse_unread,
    triangles,
)
from geoflow_cli.errors import UsageError
from geoflow_cli.kinds import Loaded, mesh_options, shapes
from geoflow_cli.kinds.mesh_options import MeshTrain
from geoflow_cli.kinds.shapes import ShapeSample
from geoflow_cli.options import Faces

if TYPE_CHECKING:
    import trimesh

    from geoflow.models.base import ModelFile
    from geoflow.models.meshes import FieldGenerator
    from geoflow.training.run import DataConfig, RunConfig
    from geoflow_datasets.sources import Gives

_GIVES: Gives = "fields"


@dataclass(frozen=True)
class Train(MeshTrain):
    """Train signed distance fields of shapes: an autoencoder, then a flow of its latents.

    --kind shapes, points, distribution or joints trains other models, with other options: see
    geoflow train --kind NAME --help.

    --data is 'procedural', or a folder of .obj, .ply, .stl, .off, .glb or .gltf files. Without
    --out the run is in runs/CATEGORY. Steps are 11,000 for the autoencoder and 12,000 for the flow,
    or a tenth of that with --init-from or --teacher; the objective is shortcut on the linear path
    of u (docs/choosing.md).
    """

    scan_steps: int = 0
    """Optimiser steps of a last stage, in which a second encoder learns to read scans: bare points,
    few, noisy, uneven or cut (docs/completion.md). Samples stay as they are."""


@dataclass(frozen=True)
class Sample(ShapeSample):
    """Generate meshes and write them by suffix: .obj, .ply, .stl, .glb, .off or .3mf.

    For several, NAME-000.obj and on. Models of points have other options: see geoflow sample
    --model MODEL --help.
    """

    resolution: int = 128
    """Cells of the extraction grid along an edge."""
    faces: Faces = None
    """Simplify to at most this many triangles, or keep all with 'full'. Default: as few as leave
    the surface within 0.05 % of the largest extent."""
    join: float | None = None
    """Join parts that would be one if the field were less by this, half the largest extent being 1:
    legs that break are whole again. 0: none. Default: 0.05."""
    size: str | None = None
    """Largest extent, such as 100mm, 10cm, 0.1m or 4in; in metres in .glb, else in millimetres.
    Default: about 2, without a unit."""


def check(options: Train, given: Collection[str]) -> None:
    """Refuse what is wrong before anything slow."""
    check_at_least("scan-steps", options.scan_steps, 0)
    mesh_options.check(options, given, gives=_GIVES)
    if options.scan_steps and shapes.symmetry_of(options) != "frame":
        raise UsageError(
            f"--scan-steps needs --symmetry frame, got {shapes.symmetry_of(options)}: the box that "
            "the encoder tells stands in a frame"
        )
    refuse_unread([options.data], given, gives=_GIVES)


default_folder, data_of = shapes.default_folder, mesh_options.data_of
fit_to = shapes.fit_to


def load(data: DataConfig, *, show_progress: bool) -> Loaded:
    """Banks of shapes with signed distances."""
    return shapes.load(data, gives=_GIVES, show_progress=show_progress)


def config(options: Train, data: DataConfig, loaded: Loaded) -> RunConfig:
    """The run, with the stage of scans where it is asked for."""
    run = shapes.config(options, data, loaded)
    if not options.scan_steps:
        return run
    from geoflow.training.stages.field_scans import FieldScanTraining

    scans = FieldScanTraining(steps=options.scan_steps)
    return replace(run, stages={**run.stages, "scans": scans})


def hint(folder: Path, config: RunConfig) -> str:
    """How to sample the model."""
    return shapes.hint(folder, config, out="mesh.obj")


def check_sample(options: Sample, file: ModelFile) -> None:
    """Refuse what is wrong for this model, before its weights are read."""
    shapes.check_sample(options, file)
    check_resolution(options.resolution)
    if options.size is not None:
        check_size("size", options.size)
    check_faces(options.faces)
    check_join(options.join)
    check_output("out", options.out)


def sample(options: Sample, model: FieldGenerator, *, guidance: float | None = None) -> None:
    """Generate and write meshes; one line for each."""
    paths = shapes.numbered(options.out, options.num)
    told = foresee(
        paths,
        size=bytes_of_mesh(options.faces, options.resolution),
        parts=options.num * parts_of_mesh(options.steps, options.resolution),
        part=lambda: model.sample(
            steps=1, seed=options.seed, resolution=PART_RESOLUTION, category=options.category
        ),
    )
    written = _written(options, model, paths, guidance)
    shapes.preview(options.out, paths, written, is_drawn=options.preview, told=told)


def _written(
    options: Sample, model: FieldGenerator, paths: list[Path], guidance: float | None
) -> Iterator[trimesh.Trimesh]:
    from geoflow.geometry.axes import turn_up
    from geoflow.geometry.mesh import parse_size, resize_mesh, summarise, write_mesh

    meshes = model.iterate(
        num=options.num,
        steps=options.steps,
        seed=options.seed,
        resolution=options.resolution,
        category=options.category,
        guidance=guidance,
        join=options.join,
        **triangles(options.faces),
    )
    for path, mesh in zip(paths, meshes, strict=True):
        written = turn_up(mesh, options.up)
        counts = mesh.metadata["summary"]
        if options.size is not None:
            written = resize_mesh(written, parse_size(options.size), path.suffix.lower())
            counts = asdict(summarise(written))
        write_mesh(written, path)
        print(f"{path}: {_said(counts, mesh.metadata)}")
        yield mesh


def describe_counts(counts: Mapping[str, Any]) -> str:
    """What a mesh is, as its file has it: of the fields of a `Summary`."""
    return (
        f"{counts['faces']} faces, "
        f"{'watertight' if counts['is_watertight'] else 'not watertight'}, "
        f"{counts['components']} component{'s' if counts['components'] != 1 else ''}, "
        f"volume {counts['volume']:.4g}, "
        f"aspect of triangles {counts['aspect'][0]:.2g} (99 %: {counts['aspect'][1]:.2g})"
    )


def _said(counts: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """What a mesh is, and what it took."""
    places = made["joined"]
    joined = f"joined at {places} place{'s' if places != 1 else ''}, " if places else ""
    return (
        f"{describe_counts(counts)}, {joined}{made['seconds']:.2f} s, "
        f"{made['nfe']} network evaluations, {made['field_queries']} field queries"
    )
