"""`geoflow vary`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow_cli import solids
from geoflow_cli.checks import check_at_least, check_output, triangles
from geoflow_cli.edit_options import Vary
from geoflow_cli.errors import failing
from geoflow_cli.kinds.shapes import check_preview, numbered, preview

if TYPE_CHECKING:
    import trimesh


def vary(options: Vary) -> None:
    """Check, read, encode, redraw, write, and print one line for each variation."""
    check_at_least("num", options.num, 1)
    check_preview(options.num, is_drawn=options.preview)
    solids.check_share("strength", options.strength)
    check_output("out", options.out)
    solids.check_edit(options, draws="a variation")
    mesh = solids.read(options.mesh, options.up)
    with failing():
        paths = numbered(options.out, options.num)
        preview(options.out, paths, _varied(options, mesh, paths), is_drawn=options.preview)


def _varied(options: Vary, mesh: trimesh.Trimesh, paths: list[Path]) -> Iterator[trimesh.Trimesh]:
    from geoflow.geometry.axes import turn_up
    from geoflow.geometry.mesh import write_mesh
    from geoflow.models.editing import redraw

    model = solids.load(options)
    latent, placement = model.encode_mesh(mesh, seed=options.seed, return_transform=True)
    cond = model.condition(1, category=options.category)
    for i, path in enumerate(paths):
        noise = model.noise(1, seed=options.seed, first=i)
        tokens = redraw(
            model, latent[None], noise, strength=options.strength, steps=options.steps, cond=cond
        )
        made = model.decode(
            tokens[0],
            resolution=options.resolution,
            mirror=options.mirror,
            join=options.join,
            **triangles(options.faces, mirror=options.mirror),
        )
        placed = made.copy().apply_transform(placement)
        write_mesh(turn_up(placed, options.up), path)
        print(
            f"{path}: {solids.describe_mesh(placed)}, {options.steps} network evaluations, "
            f"{made.metadata['field_queries']} field queries"
        )
        yield made
