"""What is on the screen as a file, by suffix: shapes, a picture, a turntable, a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from geoflow_viewer.picture import Shape, label_height, labelled_grid, png_bytes
from geoflow_viewer.renderers import Renderer, SoftwareRenderer
from geoflow_viewer.scene import PointsLayer, Tile, solid, tiles
from geoflow_viewer.shape_files import SHAPE_SUFFIXES, shape_bytes, shape_suffixes
from geoflow_viewer.state import State
from geoflow_viewer.studio import WHITE, Colour, Stage

_VIEWS = (35.0, 0.0, 125.0)
_TILE, _TURN_TILE = 320, 240
# Frames of a turn, and frames per second.
_TURNS = {".gif": (36, 18), ".mp4": (150, 30)}
_FILM_WIDTH, _FILM_HEIGHT = 1920, 1080


@dataclass(frozen=True)
class Look:
    """How pictures look."""

    size: int | None = None
    """Pixels along an edge of each shape's square; None: 320 in a picture, 240 in a .gif, and in an
    .mp4 what fits 1920 x 1080."""
    colour: Colour | None = None
    """Of surfaces and points; None: blue, and points by height or in their own colours."""
    background: Colour = WHITE


Write: TypeAlias = Callable[[Result, State, Renderer, Look], bytes]


def export_bytes(
    result: Result,
    state: State,
    suffix: str,
    *,
    renderer: Renderer | None = None,
    look: Look | None = None,
) -> bytes:
    """The content of a file.

    A shape's file has all of the shape; pictures, films and pages have what the state shows. Of
    several shapes a file has all, side by side.

    Args:
        result: shapes.
        state: what is shown of them.
        suffix: with its dot, in lower case.
        renderer: who draws pictures and films; default: the software.
        look: size and colours of pictures.

    Raises:
        ValueError: for a suffix that these shapes cannot have, or a scene with nothing in it.
        RuntimeError: for a film, a surface of points or a renderer without its package.
    """
    if suffix not in suffixes(result):
        raise ValueError(f"suffix must be one of {', '.join(suffixes(result))}, got {suffix!r}")
    return EXPORTS[suffix](result, state, renderer or SoftwareRenderer(), look or Look())


def export(
    result: Result,
    state: State,
    path: Path,
    *,
    renderer: Renderer | None = None,
    look: Look | None = None,
) -> None:
    """Write `export_bytes` to a file; it appears whole or keeps its old content."""
    suffix = path.suffix.lower()
    write_bytes(path, export_bytes(result, state, suffix, renderer=renderer, look=look))


def suffixes(result: Result) -> tuple[str, ...]:
    """Suffixes that these shapes can be written with."""
    shapes = shape_suffixes(result)
    return tuple(s for s in EXPORTS if s in shapes or s not in SHAPE_SUFFIXES)


def turntable(
    shown: Sequence[Tile],
    *,
    frames: int,
    renderer: Renderer | None = None,
    look: Look | None = None,
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Pictures from all sides, the first from 35 degrees; the last is followed by the first."""
    azimuths = [_VIEWS[0] + 360.0 * i / frames for i in range(frames)]
    look = look or Look()
    size = look.size or _TURN_TILE
    return _sheets(shown, azimuths, size, renderer or SoftwareRenderer(), look.background)


def _shape(suffix: str) -> Write:
    return lambda result, state, renderer, look: shape_bytes(result, suffix)


def _png(result: Result, state: State, renderer: Renderer, look: Look) -> bytes:
    shown = tiles(result, state, colour=look.colour)
    # One shape alone is seen from three sides, and labelled once.
    azimuths = _VIEWS if len(shown) == 1 else _VIEWS[:1]
    size = look.size or _TILE
    first, *others = _sheets(shown, azimuths, size, renderer, look.background)
    others = [_without_label(other, look.background) for other in others]
    return png_bytes(np.concatenate([first, *others], axis=1))


def _film(suffix: str) -> Write:
    def write(result: Result, state: State, renderer: Renderer, look: Look) -> bytes:
        frames, rate = _TURNS[suffix]
        shown = tiles(result, state, colour=look.colour)
        is_wide = suffix == ".mp4" and look.size is None
        if is_wide:
            look = replace(look, size=_fitting(shown))
        turned = turntable(shown, frames=frames, renderer=renderer, look=look)
        if is_wide:
            turned = [_on_screen(frame, look.background) for frame in turned]
        return film_bytes(turned, suffix, frames_per_second=rate)

    return write


def _page(result: Result, state: State, renderer: Renderer, look: Look) -> bytes:
    shown = tiles(result, state, colour=look.colour)
    return page(shown, title=title_of(result, state))


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
    shown: Sequence[Tile],
    azimuths: Sequence[float],
    size: int,
    renderer: Renderer,
    background: Colour,
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A labelled picture of all tiles from each side."""
    labels, columns = [tile.label for tile in shown], _columns(shown)
    drawn = [_drawn(tile) for tile in shown]
    rows = renderer.views(drawn, azimuths, size=size, stage=Stage(background))
    return [labelled_grid(labels, row, columns=columns, background=background) for row in rows]


def _without_label(
    sheet: UInt8[np.ndarray, "h w 3"], background: Colour
) -> UInt8[np.ndarray, "h w 3"]:
    plain = sheet.copy()
    plain[: len(sheet) - sheet.shape[1]] = background
    return plain


def _fitting(shown: Sequence[Tile]) -> int:
    """The largest square of a shape with which all of them, and their labels, are on a screen."""
    columns = _columns(shown)
    rows = -(-len(shown) // columns)
    size = _FILM_WIDTH // columns
    while rows * (size + label_height(size)) > _FILM_HEIGHT:
        size -= 1
    return size


def _on_screen(
    sheet: UInt8[np.ndarray, "h w 3"], background: Colour
) -> UInt8[np.ndarray, "1080 1920 3"]:
    """A sheet in the middle of a screen."""
    screen = np.full((_FILM_HEIGHT, _FILM_WIDTH, 3), background, np.uint8)
    top, left = (_FILM_HEIGHT - sheet.shape[0]) // 2, (_FILM_WIDTH - sheet.shape[1]) // 2
    screen[top : top + sheet.shape[0], left : left + sheet.shape[1]] = sheet
    return screen


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
