"""`geoflow interpolate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoflow_cli import solids
from geoflow_cli.budget import foreseen
from geoflow_cli.checks import check_at_least, check_folder, triangles
from geoflow_cli.edit_options import Interpolate
from geoflow_cli.errors import Failure, UsageError, failing

if TYPE_CHECKING:
    import trimesh

_FILMS = (".gif", ".mp4")
_SIZE, _AZIMUTH = 320, 35.0
_FRAMES_PER_SECOND = 18
_MOST_FRAMES = 1000


def interpolate(options: Interpolate) -> None:
    """Check, read, encode, invert, and write a film, or a mesh for each frame."""
    check_at_least("frames", options.frames, 2)
    suffix = options.out.suffix.lower()
    if suffix and suffix not in _FILMS:
        raise UsageError(
            f"--out must end in {' or '.join(_FILMS)}, or be a folder, got {options.out.name!r}"
        )
    if suffix:
        if options.frames > _MOST_FRAMES:
            raise UsageError(
                f"--frames must be at most {_MOST_FRAMES:,} of a film, whose shapes are held in "
                f"memory, got {options.frames:,}: give a folder as --out"
            )
        check_folder("out", options.out)
    elif options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out must be a folder, got the file {options.out}")
    solids.check_edit(options, draws="the way between shapes")
    ends = [solids.read(path, options.up) for path in (options.start, options.end)]
    with failing():
        shapes = _frames(options, ends)
        if suffix:
            _write_film(options, suffix, shapes)
        else:
            _write_meshes(options, shapes)


def _frames(
    options: Interpolate, ends: list[trimesh.Trimesh]
) -> Iterator[tuple[trimesh.Trimesh, np.ndarray]]:
    """Normalised meshes, and the transforms that place them."""
    import torch

    from geoflow.models.editing import between, invert

    model = solids.load(options)
    latents, places = zip(
        *(model.encode_mesh(mesh, seed=options.seed, return_transform=True) for mesh in ends),
        strict=True,
    )
    both = model.condition(2, category=options.category)
    inverted = invert(model, torch.stack(latents), steps=options.steps, cond=both)
    shares = np.linspace(0.0, 1.0, options.frames)
    ways = between(model, inverted, shares, steps=options.steps, cond=both[:1])
    for share, tokens in zip(shares, ways, strict=True):
        mesh = model.decode(
            tokens[0],
            resolution=options.resolution,
            mirror=options.mirror,
            join=options.join,
            **triangles(options.faces, mirror=options.mirror),
        )
        yield mesh, (1 - share) * places[0] + share * places[1]


def _write_meshes(
    options: Interpolate, shapes: Iterator[tuple[trimesh.Trimesh, np.ndarray]]
) -> None:
    from geoflow.geometry.axes import turn_up
    from geoflow.geometry.mesh import write_mesh

    options.out.mkdir(parents=True, exist_ok=True)
    paths = [options.out / f"{i:03d}.obj" for i in range(options.frames)]

    def written() -> Iterator[Path]:
        for path, (mesh, place) in zip(paths, shapes, strict=True):
            placed = mesh.copy().apply_transform(place)
            write_mesh(turn_up(placed, options.up), path)
            print(f"{path}: {solids.describe_mesh(placed)}")
            yield path

    for _ in foreseen(paths, written()):
        pass


def _write_film(
    options: Interpolate, suffix: str, shapes: Iterator[tuple[trimesh.Trimesh, np.ndarray]]
) -> None:
    from geoflow.atomic import write_bytes
    from geoflow_viewer.film import film_bytes
    from geoflow_viewer.renderers import renderer_of

    renderer = renderer_of("auto", lambda said: print(f"geoflow: {said}", file=sys.stderr))
    (pictures,) = renderer.views([mesh for mesh, _ in shapes], [_AZIMUTH], size=_SIZE)
    # To and fro, so that the film goes on without a jump.
    pictures = [*pictures, *pictures[-2:0:-1]]
    try:
        content = film_bytes(pictures, suffix, frames_per_second=_FRAMES_PER_SECOND)
    except RuntimeError as error:
        raise Failure(str(error)) from error
    write_bytes(options.out, content)
    print(f"{options.out}: film of {options.frames} shapes written")
