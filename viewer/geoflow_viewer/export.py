"""What is on the screen as a file, by suffix: shapes, a picture, a turntable, a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import trimesh
from jaxtyping import UInt8

from geoflow.atomic import write_bytes
from geoflow.geometry.mesh import join_meshes
from geoflow_viewer.film import SUFFIXES as FILM_SUFFIXES
from geoflow_viewer.film import film_bytes
from geoflow_viewer.items import Result
from geoflow_viewer.page import page
from geoflow_viewer.picture import Shape, labelled_grid, png_bytes
from geoflow_viewer.renderers import Renderer, SoftwareRenderer
from geoflow_viewer.scene import PointsLayer, Tile, solid, tiles
from geoflow_viewer.shape_files import SHAPE_SUFFIXES, shape_bytes, shape_suffixes
from geoflow_viewer.state import State

_VIEWS = (35.0, 0.0, 125.0)
_TURN_FRAMES, _FRAMES_PER_SECOND = 36, 18
_TILE, _TURN_TILE = 320, 240

Write: TypeAlias = Callable[[Result, State, Renderer], bytes]


def export_bytes(
    result: Result, state: State, suffix: str, *, renderer: Renderer | None = None
) -> bytes:
    """The content of a file.

    A shape's file has all of the shape; pictures, films and pages have what the state shows. Of
    several shapes a file has all, side by side.

    Args:
        result: shapes.
        state: what is shown of them.
        suffix: with its dot, in lower case.
        renderer: who draws pictures and films; default: the software.

    Raises:
        ValueError: for a suffix that these shapes cannot have, or a scene with nothing in it.
        RuntimeError: for a film, a surface of points or a renderer without its package.
    """
    if suffix not in suffixes(result):
        raise ValueError(f"suffix must be one of {', '.join(suffixes(result))}, got {suffix!r}")
    return EXPORTS[suffix](result, state, renderer or SoftwareRenderer())


def export(result: Result, state: State, path: Path, *, renderer: Renderer | None = None) -> None:
    """Write `export_bytes` to a file; it appears whole or keeps its old content."""
    write_bytes(path, export_bytes(result, state, path.suffix.lower(), renderer=renderer))


def suffixes(result: Result) -> tuple[str, ...]:
    """Suffixes that these shapes can be written with."""
    shapes = shape_suffixes(result)
    return tuple(s for s in EXPORTS if s in shapes or s not in SHAPE_SUFFIXES)


def turntable(
    shown: Sequence[Tile], *, frames: int, renderer: Renderer | None = None
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Pictures from all sides, the first from 35 degrees; the last is followed by the first."""
    azimuths = [_VIEWS[0] + 360.0 * i / frames for i in range(frames)]
    return _sheets(shown, azimuths, _TURN_TILE, renderer or SoftwareRenderer())


def _shape(suffix: str) -> Write:
    return lambda result, state, renderer: shape_bytes(result, suffix)


def _png(result: Result, state: State, renderer: Renderer) -> bytes:
    shown = tiles(result, state)
    # One shape alone is seen from three sides.
    azimuths = _VIEWS if len(shown) == 1 else _VIEWS[:1]
    return png_bytes(np.concatenate(_sheets(shown, azimuths, _TILE, renderer), axis=1))


def _film(suffix: str) -> Write:
    def write(result: Result, state: State, renderer: Renderer) -> bytes:
        frames = turntable(tiles(result, state), frames=_TURN_FRAMES, renderer=renderer)
        return film_bytes(frames, suffix, frames_per_second=_FRAMES_PER_SECOND)

    return write


def _page(result: Result, state: State, renderer: Renderer) -> bytes:
    return page(tiles(result, state), title=title_of(result, state))


def title_of(result: Result, state: State) -> str:
    """What a page shows, in words: a file's name, or the model, its category and the seed."""
    opened = state.mesh or state.cloud
    if opened is not None:
        return Path(opened).name
    words = [Path(state.model).name, *([state.category] if state.category else [])]
    if state.layout != "variations":
        words.append(f"seed {state.seed}")
    return ", ".join([*words, result.detail])


def _sheets(
    shown: Sequence[Tile], azimuths: Sequence[float], size: int, renderer: Renderer
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A labelled picture of all tiles from each side."""
    labels, columns = [tile.label for tile in shown], _columns(shown)
    rows = renderer.views([_drawn(tile) for tile in shown], azimuths, size=size)
    return [labelled_grid(labels, row, columns=columns) for row in rows]


def _drawn(tile: Tile) -> Shape | None:
    """A tile as one shape: points alone stay points."""
    if not tile.layers:
        return None
    first, *others = tile.layers
    if isinstance(first, PointsLayer) and first.name == "points" and not others:
        return trimesh.PointCloud(first.points, colors=first.colours)
    return join_meshes([solid(layer) for layer in tile.layers])


def _columns(shown: Sequence[Tile]) -> int:
    return len({tile.column for tile in shown})


EXPORTS: dict[str, Write] = {
    **{suffix: _shape(suffix) for suffix in SHAPE_SUFFIXES},
    ".png": _png,
    **{suffix: _film(suffix) for suffix in FILM_SUFFIXES},
    ".html": _page,
}
