"""Pictures of meshes without a display, a driver or a GPU.

One ray per pixel of a picture that is supersampled twice; what it meets first is shaded with its
interpolated normal.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from geoflow.atomic import write_bytes
from geoflow.geometry.mesh import vertex_colours
from geoflow_viewer.point_picture import render_points
from geoflow_viewer.projection import (
    COLOUR,
    EXTENT,
    MARGIN,
    SUPERSAMPLING,
    shrink,
    view_rotation,
)

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
        face, corners = _seen(mesh.vertices @ view.T, mesh.faces, pixels, extent)
        covered = face >= 0
        met, weights = mesh.faces[face[covered]], corners[covered]
        normals = mesh.vertex_normals @ view.T
        # A face that is seen from behind is lit as from the front: the inside of a cut shape.
        facing = np.where(mesh.face_normals[face[covered]] @ view[2] < 0, -1.0, 1.0)
        normal = np.einsum("sk,skd->sd", weights, normals[met]) * facing[:, None]
        colour = np.broadcast_to(COLOUR, normal.shape)
        own = vertex_colours(mesh)
        if own is not None:
            colour = np.einsum("sk,skd->sd", weights, own[met])
        image[covered] = _light(normal, view)[:, None] * colour
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


def _seen(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], pixels: int, extent: float
) -> tuple[Int[np.ndarray, " p"], Float[np.ndarray, "p 3"]]:
    """The first face behind each pixel, or -1, and where on it, in barycentric coordinates.

    Vertices are in the axes of the view: right, up and towards us.
    """
    import point_cloud_utils as pcu

    middle = (np.arange(pixels) + 0.5) / pixels * 2 - 1
    x, y = np.meshgrid(middle, -middle)
    nearest = np.full(pixels * pixels, vertices[:, 2].max() + 1)
    origins = np.column_stack([x.ravel() * extent / MARGIN, y.ravel() * extent / MARGIN, nearest])
    away = np.broadcast_to([0.0, 0.0, -1.0], origins.shape)
    face, corners, distance = pcu.ray_mesh_intersection(
        np.ascontiguousarray(vertices, dtype=np.float64),
        np.ascontiguousarray(faces, dtype=np.int64),
        origins,
        np.ascontiguousarray(away),
    )
    return np.where(np.isfinite(distance), face, -1), np.asarray(corners)


def _light(
    normals: Float[np.ndarray, "s 3"], view: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " s"]:
    unit = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    sky = 0.5 + 0.5 * unit @ view[:, 1]
    sun = np.maximum(unit @ (view @ _SUN), 0.0)
    rim = np.maximum(unit[:, 2], 0.0)
    return 0.30 + 0.28 * sky + 0.42 * sun + 0.12 * rim
