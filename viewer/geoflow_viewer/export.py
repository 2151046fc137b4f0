"""What is on the screen as a file, by suffix: a mesh, a picture, a turntable, a page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import UInt8
from PIL import Image

from geoflow.atomic import write_bytes
from geoflow.geometry.mesh import SUFFIXES as MESH_SUFFIXES
from geoflow_viewer.generation import Result
from geoflow_viewer.picture import png_bytes, tile_grid
from geoflow_viewer.scene import SPACING, Tile, assembled, solid, tiles
from geoflow_viewer.state import State

_VIEWS = (35.0, 0.0, 125.0)
_TURN_FRAMES, _FRAMES_PER_SECOND = 36, 18
_TILE, _TURN_TILE = 320, 240
_PAGE_LIGHT = np.array([0.75, 0.75, 0.75, 1.0])


def export_bytes(result: Result, state: State, suffix: str) -> bytes:
    """The content of a file.

    A mesh's file has the shapes; pictures, films and pages have what the state shows. Of several
    shapes a mesh's file has all, side by side.

    Args:
        result: shapes.
        state: what is shown of them.
        suffix: with its dot, in lower case.

    Raises:
        ValueError: for a suffix that is not in EXPORTS, or a scene with nothing in it.
        RuntimeError: for a film without its package.
    """
    if suffix not in EXPORTS:
        raise ValueError(f"suffix must be one of {', '.join(EXPORTS)}, got {suffix!r}")
    return EXPORTS[suffix](result, state)


def export(result: Result, state: State, path: Path) -> None:
    """Write `export_bytes` to a file; it appears whole or keeps its old content."""
    write_bytes(path, export_bytes(result, state, path.suffix.lower()))


def turntable(shown: Sequence[Tile], *, frames: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Pictures from all sides, the first from 35 degrees; the last is followed by the first."""
    drawn = _drawn(shown)
    columns = _columns(shown)
    return [
        tile_grid(drawn, columns=columns, size=_TURN_TILE, azimuth=35.0 + 360.0 * i / frames)
        for i in range(frames)
    ]


def page(shown: Sequence[Tile]) -> bytes:
    """One HTML file with an orbitable scene that opens without a network."""
    from trimesh.viewer.notebook import scene_to_html

    whole = assembled(shown)
    # The page's lamp at the eye is strong.
    colours = (_PAGE_LIGHT * np.asarray(whole.visual.vertex_colors)).round().astype(np.uint8)
    # Without a material of its own a surface is taken for metal, which is dark.
    matt = trimesh.visual.material.PBRMaterial(
        metallicFactor=0.0, roughnessFactor=0.9, doubleSided=True
    )
    whole.visual = trimesh.visual.TextureVisuals(material=matt)
    whole.visual.vertex_attributes["color"] = colours
    scene = trimesh.Scene(whole)
    spread = SPACING * max(_columns(shown) - 1, 1)
    turned = trimesh.transformations.rotation_matrix(np.radians(25), [0, 1, 0]) @ (
        trimesh.transformations.rotation_matrix(np.radians(-20), [1, 0, 0])
    )
    back = trimesh.transformations.translation_matrix([0, 0, 2.2 + spread])
    scene.camera_transform = turned @ back
    return scene_to_html(scene).encode()


def _mesh(file_type: str) -> Callable[[Result, State], bytes]:
    def write(result: Result, state: State) -> bytes:
        shown = [item for item in result.items if item.mesh is not None]
        if len(shown) == 1 and shown[0].mesh is not None:
            whole = shown[0].mesh
        else:
            whole = trimesh.util.concatenate(
                [
                    item.mesh.copy().apply_translation([SPACING * i, 0, 0])
                    for i, item in enumerate(shown)
                    if item.mesh is not None
                ]
            )
        content = whole.export(file_type=file_type)
        return content.encode() if isinstance(content, str) else bytes(content)

    return write


def _png(result: Result, state: State) -> bytes:
    shown = tiles(result, state)
    drawn = _drawn(shown)
    if len(drawn) == 1:
        # One shape alone is seen from three sides.
        views = [tile_grid(drawn, columns=1, size=_TILE, azimuth=a) for a in _VIEWS]
        return png_bytes(np.concatenate(views, axis=1))
    return png_bytes(tile_grid(drawn, columns=_columns(shown), size=_TILE))


def _gif(result: Result, state: State) -> bytes:
    first, *others = map(Image.fromarray, turntable(tiles(result, state), frames=_TURN_FRAMES))
    content = io.BytesIO()
    duration = 1000 // _FRAMES_PER_SECOND
    first.save(
        content, format="GIF", save_all=True, append_images=others, duration=duration, loop=0
    )
    return content.getvalue()


def _mp4(result: Result, state: State) -> bytes:
    try:
        import av  # noqa: F401  imageio's writer, which it imports late
        import imageio.v3 as imageio
    except ImportError as error:
        raise RuntimeError(
            f"no film: {error}; install the extra with pip install 'geoflow[viewer]', or write .gif"
        ) from error
    frames = np.stack(turntable(tiles(result, state), frames=_TURN_FRAMES))
    # The codec wants even edges.
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    film: bytes = imageio.imwrite(
        "<bytes>", even, extension=".mp4", plugin="pyav", codec="libx264", fps=_FRAMES_PER_SECOND
    )
    return film


def _page(result: Result, state: State) -> bytes:
    return page(tiles(result, state))


def _drawn(shown: Sequence[Tile]) -> list[tuple[str, trimesh.Trimesh | None]]:
    return [
        (
            tile.label,
            trimesh.util.concatenate([solid(layer) for layer in tile.layers])
            if tile.layers
            else None,
        )
        for tile in shown
    ]


def _columns(shown: Sequence[Tile]) -> int:
    return len({tile.column for tile in shown})


EXPORTS: dict[str, Callable[[Result, State], bytes]] = {
    **{suffix: _mesh(suffix[1:]) for suffix in MESH_SUFFIXES},
    ".png": _png,
    ".gif": _gif,
    ".mp4": _mp4,
    ".html": _page,
}
