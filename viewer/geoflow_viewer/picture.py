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

SUPERSAMPLING = 2
_MARGIN = 0.92
COLOUR = np.array([0.46, 0.60, 0.86])
_SUN = np.array([0.35, 0.85, 0.55]) / np.linalg.norm([0.35, 0.85, 0.55])
_LABEL_HEIGHT = 22

Mesh: TypeAlias = trimesh.Trimesh


def render_mesh(
    mesh: Mesh | None,
    *,
    size: int = 200,
    azimuth: float = 35.0,
    elevation: float = 22.0,
    extent: float = 1.25,
) -> UInt8[np.ndarray, "h w 3"]:
    """Orthographic view of a mesh, +Y up, on white; an empty tile for None.

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
        flat, height, view = project(mesh.vertices, pixels, azimuth, elevation, extent)
        normals = mesh.vertex_normals @ view.T
        position, depth, normal = _samples(
            np.column_stack([flat, height])[mesh.faces], normals[mesh.faces]
        )
        column, row = np.floor(position).astype(np.int64).T
        inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
        index = (row * pixels + column)[inside]
        depth, normal = depth[inside], normal[inside]
        # Sorted from far to near, the last write to a pixel is the nearest sample's.
        order = np.argsort(depth, kind="stable")
        image[index[order]] = _shade(normal, view)[order]
    return shrink(image, size)


def project(
    points: Float[np.ndarray, "n 3"],
    pixels: int,
    azimuth: float,
    elevation: float,
    extent: float,
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"], Float[np.ndarray, "3 3"]]:
    """Columns and rows of points in a square picture, their height towards us, and the view."""
    view = _view_rotation(azimuth, elevation)
    turned = points @ view.T
    flat = (turned[:, :2] * [1, -1] * _MARGIN / extent + 1) * 0.5 * pixels
    return flat, turned[:, 2], view


def shrink(image: Float[np.ndarray, "p 3"], size: int) -> UInt8[np.ndarray, "h w 3"]:
    """A supersampled picture at its size."""
    square = image.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3))
    return (np.clip(square, 0, 1) * 255).round().astype(np.uint8)


def contact_sheet(
    rows: Sequence[Sequence[Mesh | trimesh.PointCloud | None]],
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
            tile = Image.fromarray(_render(shape, size=size, azimuth=azimuth))
            sheet.paste(tile, (j * size, i * height + _LABEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_png(sheet, path)


def _render(
    shape: Mesh | trimesh.PointCloud | None, *, size: int, azimuth: float
) -> UInt8[np.ndarray, "h w 3"]:
    if isinstance(shape, trimesh.PointCloud):
        from geoflow_viewer.point_picture import render_points

        return render_points(np.asarray(shape.vertices), size=size, azimuth=azimuth)
    return render_mesh(shape, size=size, azimuth=azimuth)


def write_picture(mesh: Mesh, path: Path, *, size: int = 480) -> None:
    """Write three views of a mesh side by side as PNG; whole or not at all."""
    views = [render_mesh(mesh, size=size, azimuth=a) for a in (35.0, 0.0, 125.0)]
    _write_png(Image.fromarray(np.concatenate(views, axis=1)), path)


def _write_png(image: Image.Image, path: Path) -> None:
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    write_bytes(path, content.getvalue())


def _view_rotation(azimuth: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    a, e = np.radians(azimuth), np.radians(elevation)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    tip = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
    return tip @ turn


def _samples(
    corners: Float[np.ndarray, "f 3 3"], normals: Float[np.ndarray, "f 3 3"]
) -> tuple[Float[np.ndarray, "s 2"], Float[np.ndarray, " s"], Float[np.ndarray, "s 3"]]:
    """Points of a regular barycentric lattice on each triangle, at most a pixel apart."""
    edges = corners[:, :, :2] - np.roll(corners[:, :, :2], 1, axis=1)
    length = np.sqrt((edges**2).sum(-1)).max(-1)
    # Powers of two keep the number of lattices small.
    divisions = 2 ** np.ceil(np.log2(np.maximum(length * 1.3, 1.0))).astype(int)
    found = []
    for division in np.unique(divisions):
        chosen = divisions == division
        i, j = np.meshgrid(np.arange(division + 1), np.arange(division + 1), indexing="ij")
        keep = i + j <= division
        u, v = i[keep] / division, j[keep] / division
        weights = np.column_stack([1 - u - v, u, v])
        found.append(
            np.concatenate([weights @ corners[chosen], weights @ normals[chosen]], -1).reshape(
                -1, 6
            )
        )
    samples = np.concatenate(found)
    return samples[:, :2], samples[:, 2], samples[:, 3:]


def _shade(
    normals: Float[np.ndarray, "s 3"], view: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "s 3"]:
    unit = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    sky = 0.5 + 0.5 * unit @ view[:, 1]
    sun = np.maximum(unit @ (view @ _SUN), 0.0)
    rim = np.maximum(unit[:, 2], 0.0)
    light = 0.30 + 0.28 * sky + 0.42 * sun + 0.12 * rim
    return light[:, None] * COLOUR
