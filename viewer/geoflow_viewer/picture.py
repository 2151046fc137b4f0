"""Pictures of shapes by software, and sheets of them with labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from geoflow.atomic import write_bytes
from geoflow_viewer.mesh_picture import cutout_mesh
from geoflow_viewer.point_picture import cutout_points
from geoflow_viewer.projection import EXTENT, over

_LABEL_HEIGHT = 22
# Of a label's line, in a picture of that size; larger ones have larger labels.
_LABELLED_SIZE = 320
ELEVATION = 22.0
"""Degrees above the horizon, of pictures that say nothing else."""

Mesh: TypeAlias = trimesh.Trimesh
Shape: TypeAlias = trimesh.Trimesh | trimesh.PointCloud


def render_mesh(
    mesh: Mesh | None,
    *,
    size: int = 200,
    azimuth: float = 35.0,
    elevation: float = ELEVATION,
    extent: float = EXTENT,
) -> UInt8[np.ndarray, "h w 3"]:
    """Orthographic view of a mesh, +Y up, on white; an empty tile for None.

    Colours of the vertices are kept; a mesh without them is blue.

    Args:
        mesh: triangles in normalised units.
        size: pixels along an edge of the picture.
        azimuth: degrees about +Y from the front (+Z).
        elevation: degrees above the horizon.
        extent: half edge of the picture in the mesh's units.
    """
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    if mesh is None:
        return np.full((size, size, 3), 255, np.uint8)
    drawn = cutout_mesh(mesh, size=size, azimuth=azimuth, elevation=elevation, extent=extent)
    return over(drawn, 1.0)


def render(
    shape: Shape | None, *, size: int = 200, azimuth: float = 35.0, elevation: float = ELEVATION
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of a mesh or a cloud on white; an empty tile for None."""
    if shape is None:
        return render_mesh(None, size=size)
    return over(cutout(shape, size=size, azimuth=azimuth, elevation=elevation), 1.0)


def cutout(
    shape: Shape, *, size: int, azimuth: float, elevation: float = ELEVATION
) -> Float[np.ndarray, "h w 4"]:
    """A mesh or a cloud on nothing: its colours, times what they cover, and how much that is."""
    if isinstance(shape, trimesh.PointCloud):
        points, own = np.asarray(shape.vertices), shape.colors
        colours = np.asarray(own)[:, :3] / 255.0 if len(own) else None
        return cutout_points(
            points, size=size, azimuth=azimuth, elevation=elevation, colours=colours
        )
    return cutout_mesh(shape, size=size, azimuth=azimuth, elevation=elevation)


def contact_sheet(
    rows: Sequence[Sequence[Shape | None]],
    labels: Sequence[str],
    path: Path,
    *,
    size: int = 160,
    azimuth: float = 35.0,
) -> None:
    """Write a grid of pictures, one labelled row per sequence, as PNG; whole or not at all.

    Raises:
        ValueError: if there is not one label per row.
    """
    if len(rows) != len(labels) or not rows:
        raise ValueError(f"expected one label per row, got {len(rows)} rows, {len(labels)} labels")
    width, height = max(len(row) for row in rows), size + _LABEL_HEIGHT
    sheet = Image.new("RGB", (width * size, len(rows) * height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        draw.text((6, i * height + 4), label, fill=(60, 60, 60), font=font)
        for j, shape in enumerate(row):
            tile = Image.fromarray(render(shape, size=size, azimuth=azimuth))
            sheet.paste(tile, (j * size, i * height + _LABEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, png_bytes(np.asarray(sheet)))


def labelled_grid(
    labels: Sequence[str],
    pictures: Sequence[UInt8[np.ndarray, "t t 3"]],
    *,
    columns: int,
    background: tuple[int, int, int] = (255, 255, 255),
) -> UInt8[np.ndarray, "h w 3"]:
    """Square pictures in rows of `columns`, each below its label, on one background."""
    size = len(pictures[0])
    label = label_height(size)
    rows, height = -(-len(pictures) // columns), size + label
    sheet = Image.new("RGB", (columns * size, rows * height), background)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(round(14 * label / _LABEL_HEIGHT))
    # Dark on light, and light on dark.
    is_dark = np.dot(background, [0.299, 0.587, 0.114]) < 128
    ink = (225, 228, 235) if is_dark else (60, 60, 60)
    for i, (text, picture) in enumerate(zip(labels, pictures, strict=True)):
        left, top = i % columns * size, i // columns * height
        sheet.paste(Image.fromarray(picture), (left, top + label))
        draw.text((left + 0.3 * label, top + 0.2 * label), text, fill=ink, font=font)
    return np.asarray(sheet)


def label_height(size: int) -> int:
    """Pixels of the line above a picture of that size."""
    return max(_LABEL_HEIGHT, round(_LABEL_HEIGHT * size / _LABELLED_SIZE))


def png_bytes(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG", optimize=True)
    return content.getvalue()
