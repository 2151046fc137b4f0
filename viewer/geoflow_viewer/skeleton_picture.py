"""Pictures of a mesh with its joints and bones drawn over it, as through glass."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from geoflow.atomic import write_bytes
from geoflow.geometry.box import box_of
from geoflow.geometry.mesh import normalise_mesh
from geoflow_viewer.picture import render_mesh
from geoflow_viewer.projection import project, view_rotation

_SUPERSAMPLING = 3
# Share of the mesh's colour that stays under the bones.
_GLASS = 0.55
_BONE, _JOINT, _REFERENCE = (70, 70, 80), (214, 62, 48), (34, 139, 84)


def render_skeleton(
    mesh: trimesh.Trimesh | None,
    joints: Float[np.ndarray, "j 3"],
    parents: Sequence[int] | None = None,
    *,
    reference: Float[np.ndarray, "i 3"] | None = None,
    size: int = 240,
    azimuth: float = 35.0,
    elevation: float = 15.0,
    extent: float = 1.25,
) -> UInt8[np.ndarray, "h w 3"]:
    """Orthographic view of a mesh under joints (red), bones (grey) and reference joints (green).

    Args:
        mesh: triangles in normalised units; None: no mesh.
        joints: positions in the mesh's units.
        parents: for each joint the joint that it hangs on, -1 for a root; None: no bones.
        reference: further joints, drawn as rings.
        size: pixels along an edge of the picture.
        azimuth: degrees about +Y from the front (+Z).
        elevation: degrees above the horizon.
        extent: half edge of the picture in the mesh's units.
    """
    plain = render_mesh(mesh, size=size, azimuth=azimuth, elevation=elevation, extent=extent)
    faded = (255 - (255 - plain.astype(float)) * _GLASS).astype(np.uint8)
    pixels = size * _SUPERSAMPLING
    image = Image.fromarray(faded).resize((pixels, pixels), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    view = view_rotation(azimuth, elevation)

    def flat(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        return project(points, view, pixels, extent)[0]

    radius = max(pixels / 90, 3.0)
    placed = flat(joints) if len(joints) else np.zeros((0, 2))
    for child, parent in enumerate(parents or ()):
        if parent >= 0:
            line = [tuple(placed[parent]), tuple(placed[child])]
            draw.line(line, fill=_BONE, width=round(0.8 * radius))
    if reference is not None:
        for x, y in flat(reference):
            ring = (x - 1.9 * radius, y - 1.9 * radius, x + 1.9 * radius, y + 1.9 * radius)
            draw.ellipse(ring, outline=_REFERENCE, width=round(0.6 * radius))
    for x, y in placed:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_JOINT)
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))


def write_rig_picture(
    mesh: trimesh.Trimesh,
    joints: Float[np.ndarray, "j 3"],
    parents: Sequence[int] | None,
    path: Path,
    *,
    size: int = 480,
) -> None:
    """Write three views side by side as PNG, fitted to the mesh; whole or not at all."""
    centre, half = box_of(np.asarray(mesh.vertices))
    normal, placed = normalise_mesh(mesh), (joints - centre) / half
    views = [
        render_skeleton(normal, placed, parents, size=size, azimuth=a, extent=1.4)
        for a in (35.0, 0.0, 90.0)
    ]
    content = io.BytesIO()
    Image.fromarray(np.concatenate(views, axis=1)).save(content, format="PNG", optimize=True)
    write_bytes(path, content.getvalue())
