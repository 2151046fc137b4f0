"""`geoflow complete`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoflow_cli import solids
from geoflow_cli.checks import check_at_least, check_output, triangles
from geoflow_cli.edit_options import Complete
from geoflow_cli.errors import UsageError, failing
from geoflow_cli.kinds.shapes import numbered

if TYPE_CHECKING:
    import trimesh

    from geoflow.geometry.read_points import Cloud

# Points that are drawn of a mesh, which is reconstructed.
_MESH_POINTS = 4096
_MOST_ANSWERS = 100
# Options of the answers after the first, which is of no evaluation of the flow.
_OF_FURTHER = ("category", "spread", "steps")
# Suffixes of meshes whose files hold colours of vertices.
_COLOURED = (".obj", ".ply", ".glb", ".off")


def complete(options: Complete, asked: Collection[str]) -> None:
    """Check, read, encode, decode, write, and print one line for each answer.

    Args:
        options: all of them.
        asked: names of those that were given.
    """
    is_known = _check(options, asked)
    cloud, box, is_closed = _read(options)
    if not (is_known or (options.normals == "outward" and cloud.normals is not None)):
        raise UsageError(
            f"{options.input} has no outward normals, and --model {options.model} was trained with "
            "them alone: give normals, or --normals guess, or take --model shapes"
        )
    from geoflow.geometry.mesh import write_mesh
    from geoflow.models.completion import answer, prepare, with_guessed_normals

    with failing():
        model = solids.load(options)
        try:
            given = prepare(
                model,
                cloud.points,
                None if options.normals in ("ignore", "guess") else cloud.normals,
                # Which way an open mesh faces is for its maker to know, and fields that go through
                # its points would believe it.
                oriented=options.normals == "outward" and (is_closed or not model.mends),
                most=options.points,
                pose=options.pose,
                up=options.up,
                mirror=options.mirror,
                box=box,
                seed=options.seed,
            )
        except ValueError as error:
            raise UsageError(f"{options.input}: {error}") from error
        if options.normals == "guess":
            given = with_guessed_normals(model, given)
        if given.left_out:
            print(f"{options.input}: {given.left_out} outliers left out")
        meshes = answer(
            model,
            given,
            num=options.num,
            steps=options.steps,
            recycle=options.recycle,
            refine=options.refine,
            spread=options.spread,
            mend=options.mend,
            join=options.join,
            uncertainty=options.uncertainty,
            mirror=options.mirror,
            resolution=options.resolution,
            category=options.category,
            seed=options.seed,
            **triangles(options.faces, mirror=options.mirror),
        )
        for path, mesh in zip(numbered(options.out, options.num), meshes, strict=True):
            write_mesh(mesh, path)
            print(f"{path}: {_describe(mesh)}")


def _describe(mesh: trimesh.Trimesh) -> str:
    """What a line says of an answer."""
    made = mesh.metadata
    return (
        f"{solids.describe_mesh(mesh)}, points at {made['fit_median']:.4f} "
        f"(95 %: {made['fit_95']:.4f}) of the half extent, {made['seconds']:.2f} s, "
        f"{made['nfe']} network evaluations, {made['field_queries']} field queries"
    )


def _check(options: Complete, asked: Collection[str]) -> bool:
    """Refuse what can be refused before anything slow; whether normals need not be given."""
    check_at_least("num", options.num, 1)
    if options.num > _MOST_ANSWERS:
        raise UsageError(
            f"--num must be at most {_MOST_ANSWERS}: answers are made together, in memory; got "
            f"{options.num:,}"
        )
    check_at_least("recycle", options.recycle, 0)
    check_at_least("refine", options.refine, 0)
    _check_points(options.points)
    if options.spread is not None:
        solids.check_share("spread", options.spread)
    check_output("out", options.out)
    suffix = options.out.suffix.lower()
    if options.uncertainty and suffix not in _COLOURED:
        raise UsageError(f"--uncertainty needs colours, which {suffix} lacks: write .ply or .glb")
    several = options.num > 1 or options.uncertainty
    file = solids.check_edit(options, draws="more than one answer" if several else None)
    for name in _OF_FURTHER:
        if name in asked and not several:
            raise UsageError(
                f"--{name} is of the answers after the first: add --num 2 or more, or leave it out"
            )
    is_guessed = options.normals == "guess"
    if is_guessed and options.pose == "any":
        raise UsageError("--normals guess is for upright points: leave out --pose any")
    from geoflow.models.kinds import KINDS

    config = file.config(KINDS[file.kind].model_class().config_type)
    return is_guessed or config.reads_bare_points


def _check_points(points: int) -> None:
    from geoflow.geometry.placing import MIN_POINTS
    from geoflow.models.completion import MAX_POINTS

    if not MIN_POINTS <= points <= MAX_POINTS:
        raise UsageError(
            f"--points must be between {MIN_POINTS} and {MAX_POINTS:,}, got {points:,}"
        )


def _read(options: Complete) -> tuple[Cloud, np.ndarray | None, bool]:
    """The points of a cloud, or of a mesh with its normals and corners, in the file's axes.

    Last, whether normals are known to point outward: those of a mesh that is not closed are not.
    """
    from geoflow.geometry.mesh import SUFFIXES as MESHES
    from geoflow.geometry.read_points import SUFFIXES, is_cloud, read_points

    path: Path = options.input
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    known = tuple(dict.fromkeys([*SUFFIXES, *MESHES]))
    if path.suffix.lower() not in known:
        raise UsageError(f"INPUT must end in one of {', '.join(known)}, got {path.name!r}")
    if is_cloud(path):
        try:
            return read_points(path), None, True
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from error
    mesh = solids.read(path, "y")
    from geoflow.models.completion import points_of_mesh

    points = points_of_mesh(mesh, _MESH_POINTS, seed=options.seed)
    is_closed = mesh.is_watertight and mesh.is_winding_consistent
    return points, np.asarray(mesh.vertices), bool(is_closed)
