"""Pictures of meshes without a display, a driver or a GPU.

Triangles are sampled densely enough to cover every pixel, the nearest sample of a pixel wins,
and is shaded with its interpolated normal. Supersampled twice.
"""

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
from geoflow_viewer.point_picture import render_points
from geoflow_viewer.projection import COLOUR, EXTENT, SUPERSAMPLING, project, shrink, view_rotation

_SUN = np.array([0.35, 0.85, 0.55]) / np.linalg.norm([0.35, 0.85, 0.55])
_LABEL_HEIGHT = 22
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
    pixels = size * SUPERSAMPLING
    image = np.ones((pixels * pixels, 3))
    if mesh is not None and len(mesh.faces):
        view = view_rotation(azimuth, elevation)
        normals = mesh.vertex_normals @ view.T
        flat, height = project(mesh.vertices, view, pixels, extent)
        colours = np.broadcast_to(COLOUR, normals.shape)
        if mesh.visual.kind == "vertex":
            colours = np.asarray(mesh.visual.vertex_colors)[:, :3] / 255.0
        # A face that is seen from behind is lit as from the front: the inside of a cut shape.
        corners = flat[mesh.faces]
        (x0, y0), (x1, y1) = (corners[:, 1:] - corners[:, :1]).transpose(1, 2, 0)
        # Rows count downwards.
        facing = np.where(x0 * y1 > y0 * x1, -1.0, 1.0)[:, None, None]
        position, depth, normal, colour = _samples(
            np.column_stack([flat, height])[mesh.faces],
            np.concatenate([normals[mesh.faces] * facing, colours[mesh.faces]], -1),
        )
        column, row = np.floor(position).astype(np.int64).T
        inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
        # Sorted from far to near, the last write to a pixel is the nearest sample's.
        order = np.flatnonzero(inside)[np.argsort(depth[inside], kind="stable")]
        nearest = np.full(len(image), -1)
        nearest[(row * pixels + column)[order]] = order
        covered = nearest >= 0
        seen_there = nearest[covered]
        image[covered] = _light(normal[seen_there], view)[:, None] * colour[seen_there]
    return shrink(image, size)


def render(
    shape: Shape | None, *, size: int = 200, azimuth: float = 35.0, elevation: float = ELEVATION
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of a mesh or a cloud; an empty tile for None."""
    if isinstance(shape, trimesh.PointCloud):
        points, own = np.asarray(shape.vertices), shape.colors
        colours = np.asarray(own)[:, :3] / 255.0 if len(own) else None
        return render_points(
            points, size=size, azimuth=azimuth, elevation=elevation, colours=colours
        )
    return render_mesh(shape, size=size, azimuth=azimuth, elevation=elevation)


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


def write_picture(mesh: Mesh, path: Path, *, size: int = 480) -> None:
    """Write three views of a mesh side by side as PNG; whole or not at all."""
    views = [render_mesh(mesh, size=size, azimuth=a) for a in (35.0, 0.0, 125.0)]
    write_bytes(path, png_bytes(np.concatenate(views, axis=1)))


def labelled_grid(
    labels: Sequence[str], pictures: Sequence[UInt8[np.ndarray, "t t 3"]], *, columns: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Square pictures in rows of `columns`, each below its label."""
    size = len(pictures[0])
    rows, height = -(-len(pictures) // columns), size + _LABEL_HEIGHT
    sheet = Image.new("RGB", (columns * size, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        left, top = i % columns * size, i // columns * height
        sheet.paste(Image.fromarray(picture), (left, top + _LABEL_HEIGHT))
        draw.text((left + 6, top + 4), label, fill=(60, 60, 60), font=font)
    return np.asarray(sheet)


def png_bytes(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG", optimize=True)
    return content.getvalue()


def _samples(
    corners: Float[np.ndarray, "f 3 3"], attributes: Float[np.ndarray, "f 3 6"]
) -> tuple[
    Float[np.ndarray, "s 2"],
    Float[np.ndarray, " s"],
    Float[np.ndarray, "s 3"],
    Float[np.ndarray, "s 3"],
]:
    """Points on each triangle, at most a pixel apart, with depth, normal and colour at each.

    Attributes are the normals and colours of the corners.
    """
    # Corners are turned so that the longest edge is the first.
    edges = np.roll(corners, -1, axis=1)[:, :, :2] - corners[:, :, :2]
    lengths = np.sqrt((edges**2).sum(-1))
    turned = (lengths.argmax(1)[:, None] + np.arange(3)) % 3
    values = np.concatenate([corners, attributes], -1)
    values = np.take_along_axis(values, turned[:, :, None], axis=1)
    longest = lengths.max(1)
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    height = np.abs(x0 * y1 - y0 * x1) / np.maximum(longest, 1e-12)
    # Powers of two keep the number of lattices small.
    along, across = (
        2 ** np.ceil(np.log2(np.maximum(size * 1.3, 1.0))).astype(int) for size in (longest, height)
    )
    found = []
    for division, rows in np.unique(np.stack([along, across], 1), axis=0):
        chosen = (along == division) & (across == rows)
        weights = _lattice(division, rows)
        found.append((weights @ values[chosen]).reshape(-1, 9))
    samples = np.concatenate(found)
    return samples[:, :2], samples[:, 2], samples[:, 3:6], samples[:, 6:]


def _lattice(division: int, rows: int) -> Float[np.ndarray, "s 3"]:
    """Barycentric coordinates: a triangle's lattice, or rows along the first edge of a sliver."""
    if 2 * rows >= division:
        i, j = np.meshgrid(np.arange(division + 1), np.arange(division + 1), indexing="ij")
        keep = i + j <= division
        u, v = i[keep] / division, j[keep] / division
    else:
        i, j = np.meshgrid(np.arange(division + 1), np.arange(rows + 1), indexing="ij")
        v = j.ravel() / rows
        u = i.ravel() / division * (1 - v)
    return np.column_stack([1 - u - v, u, v])


def _light(
    normals: Float[np.ndarray, "s 3"], view: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " s"]:
    unit = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    sky = 0.5 + 0.5 * unit @ view[:, 1]
    sun = np.maximum(unit @ (view @ _SUN), 0.0)
    rim = np.maximum(unit[:, 2], 0.0)
    return 0.30 + 0.28 * sky + 0.42 * sun + 0.12 * rim
