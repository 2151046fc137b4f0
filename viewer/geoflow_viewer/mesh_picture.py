"""Pictures of meshes without a display, a driver or a GPU: a ray per pixel, and studio light.

What a ray meets first is shaded with its interpolated normal. The lights stand beside the camera,
as in a studio: a shape is lit as well from behind as from the front.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import trimesh
from jaxtyping import Float

from geoflow.geometry.mesh import vertex_colours
from geoflow_viewer.projection import (
    COLOUR,
    EXTENT,
    MARGIN,
    SUPERSAMPLING,
    project,
    shrink,
    view_rotation,
)

# Directions in the axes of the picture: right, up, towards us.
_KEY = np.array([-0.45, 0.65, 0.62]) / np.linalg.norm([-0.45, 0.65, 0.62])
_FILL = np.array([0.80, 0.10, 0.60]) / np.linalg.norm([0.80, 0.10, 0.60])
_HALFWAY = np.array([-0.25, 0.36, 0.90]) / np.linalg.norm([-0.25, 0.36, 0.90])
_AMBIENT, _SKY, _KEY_LIGHT, _FILL_LIGHT = 0.36, 0.24, 0.55, 0.18
_GLOSS, _SHARPNESS = 0.10, 24
# Rays that are in memory at once.
_BAND = 1_000_000


def cutout_mesh(
    mesh: trimesh.Trimesh,
    *,
    size: int,
    azimuth: float,
    elevation: float,
    extent: float = EXTENT,
) -> Float[np.ndarray, "h w 4"]:
    """A mesh on nothing: colours, in [0, 1] and times what they cover, and how much that is."""
    pixels = size * SUPERSAMPLING
    image = np.zeros((pixels * pixels, 4))
    if len(mesh.faces):
        view = view_rotation(azimuth, elevation)
        for place, face, corners in _seen(mesh, view, pixels, extent):
            image[place, :3] = _shaded(mesh, face, corners, view)
            image[place, 3] = 1.0
    return shrink(image, size)


def _shaded(
    mesh: trimesh.Trimesh, face: np.ndarray, corners: np.ndarray, view: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "s 3"]:
    """Colours of places on faces, given in barycentric coordinates."""
    met = mesh.faces[face]
    # A face that is seen from behind is lit as from the front: the inside of a cut shape.
    facing = np.where(mesh.face_normals[face] @ view[2] < 0, -1.0, 1.0)
    normals = np.einsum("sk,skd->sd", corners, (mesh.vertex_normals @ view.T)[met])
    normals *= facing[:, None]
    colour = np.broadcast_to(COLOUR, normals.shape)
    own = vertex_colours(mesh)
    if own is not None:
        colour = np.einsum("sk,skd->sd", corners, own[met])
    unit = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    # Lights are large: their edge lies behind the terminator.
    key, fill = (np.clip(0.25 + 0.75 * unit @ light, 0, None) for light in (_KEY, _FILL))
    sky = 0.5 + 0.5 * unit @ view[:, 1]
    light = _AMBIENT + _SKY * sky + _KEY_LIGHT * key + _FILL_LIGHT * fill
    gloss = _GLOSS * np.clip(unit @ _HALFWAY, 0, None) ** _SHARPNESS
    return np.clip(light[:, None] * colour + gloss[:, None], 0, 1)


def _seen(
    mesh: trimesh.Trimesh, view: Float[np.ndarray, "3 3"], pixels: int, extent: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pixels that see the mesh, the first face behind each, and where on it, band by band."""
    import point_cloud_utils as pcu

    vertices = np.ascontiguousarray(mesh.vertices @ view.T, dtype=np.float64)
    tracer = pcu.RayMeshIntersector(vertices, np.ascontiguousarray(mesh.faces, dtype=np.int64))
    corners, depths = project(np.asarray(mesh.vertices), view, pixels, extent)
    low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, pixels)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, pixels)
    columns = np.arange(low[0], high[0])
    reach, nearest = extent / MARGIN, depths.max() + 1
    rows = max(_BAND // max(len(columns), 1), 1)
    for top in range(low[1], high[1], rows):
        row = np.arange(top, min(top + rows, high[1]))
        x, y = np.meshgrid((columns + 0.5) / pixels * 2 - 1, -((row + 0.5) / pixels * 2 - 1))
        origins = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, nearest)])
        origins[:, :2] *= reach
        away = np.tile([0.0, 0.0, -1.0], (len(origins), 1))
        face, places, distance = tracer.intersect_rays(origins, away)
        hit = np.isfinite(distance)
        pixel = (row[:, None] * pixels + columns).ravel()
        yield pixel[hit], face[hit], places[hit]
