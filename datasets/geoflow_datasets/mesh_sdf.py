"""Signed distances of meshes as people have them: open, many parts, badly oriented.

Four ways, tried in order, and recorded:

- `winding`: faces are oriented, and the sign is that of the generalised winding number; taken
  where the number is clear (near 0 or 1) almost everywhere and the mesh has an interior.
- `thickened`: the same, where parts of the surface are sheets with the outside on both sides
  (a seat of one layer); the solid is joined with all that is within h of the surface.
- `filled`: the surface is sampled into a grid whose enclosed cells are filled; the distance is
  that of the filled solid, accurate to about half a cell.
- `shell`: a surface without interior becomes the shell of all that is within h of it.

Reference: Barill et al., "Fast winding numbers for soups and clouds", 2018 (point-cloud-utils).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from geoflow.geometry.extraction import extract_mesh, mesh_from_grid
from geoflow.geometry.read_mesh import MeshError

Method = Literal["winding", "thickened", "filled", "shell"]
Distance = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]

HALF_THICKNESS = 0.015
_GRID, _BOUND = 96, 1.15
# Cells of the grid that thickened surfaces are extracted on: 0.014 apart.
_FINE_GRID = 160
_PROBES, _RAYS = 20_000, 4000
# A winding number between these is no answer.
_UNCLEAR = (0.25, 0.75)
_MAX_UNCLEAR = 0.025
_MIN_INTERIOR = 0.002
# A surface is thickened where this share of it has the outside this far off on both sides.
_MAX_SHEET, _SHEET_REACH = 0.02, 0.012


@dataclass(frozen=True)
class SignedMesh:
    """A mesh with a signed distance, and how it came by it.

    Fractions are of the cube of half extent 1.05. The agreement is the share of random rays
    that first meet a face from the side that the winding number tells.
    """

    distance: Distance
    surface: trimesh.Trimesh
    method: Method
    interior_fraction: float
    unclear_fraction: float
    ray_agreement: float
    half_thickness: float


def sign_mesh(mesh: trimesh.Trimesh) -> SignedMesh:
    """Signed distance of a normalised mesh, by the first way that fits.

    Raises:
        MeshError: if the mesh has no area or is not finite.
    """
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all() or mesh.area <= 1e-9:
        raise MeshError("it has no triangles of finite, positive area")
    import point_cloud_utils as pcu

    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    faces, _ = pcu.orient_mesh_faces(np.ascontiguousarray(mesh.faces, dtype=np.int64))
    faces = np.ascontiguousarray(faces, dtype=np.int64)
    probes = np.random.default_rng(0).uniform(-1.05, 1.05, (_PROBES, 3))
    winding = pcu.triangle_soup_fast_winding_number(vertices, faces, probes)
    if np.mean(winding < -0.5) > np.mean(winding > 0.5):
        faces, winding = np.ascontiguousarray(faces[:, ::-1]), -winding
    unclear = float(np.mean((winding > _UNCLEAR[0]) & (winding < _UNCLEAR[1])))
    unclear += float(np.mean(winding < -_UNCLEAR[0]))
    interior = float(np.mean(winding > 0.5))

    rays = _ray_agreement(vertices, faces, probes[:_RAYS], winding[:_RAYS] > 0.5)

    def unsigned(points: np.ndarray) -> np.ndarray:
        distance, _, _ = pcu.closest_points_on_mesh(_queries(points), vertices, faces)
        return distance[: len(points)]

    def signed(points: np.ndarray) -> np.ndarray:
        winding = pcu.triangle_soup_fast_winding_number(vertices, faces, _queries(points))
        return np.where(winding[: len(points)] > 0.5, -1.0, 1.0) * unsigned(points)

    def thickened(points: np.ndarray) -> np.ndarray:
        return np.minimum(signed(points), unsigned(points) - HALF_THICKNESS)

    def shell(points: np.ndarray) -> np.ndarray:
        return unsigned(points) - HALF_THICKNESS

    if interior >= _MIN_INTERIOR and unclear <= _MAX_UNCLEAR:
        oriented = trimesh.Trimesh(vertices, faces, process=False)
        if _sheet_share(oriented, signed) <= _MAX_SHEET:
            return SignedMesh(signed, oriented, "winding", interior, unclear, rays, 0.0)
        return SignedMesh(
            thickened, _extract(thickened), "thickened", interior, unclear, rays, HALF_THICKNESS
        )
    filled, occupied = _filled_grid(mesh)
    if np.count_nonzero(filled) > 1.15 * np.count_nonzero(occupied):
        spacing = 2 * _BOUND / (_GRID - 1)
        outside = ndimage.distance_transform_edt(~filled)
        inside = ndimage.distance_transform_edt(filled)
        grid = ((outside - inside) * spacing).astype(np.float32)
        grid += np.where(grid > 0, -0.5, 0.5).astype(np.float32) * spacing
        fraction = float(filled.mean() * (2 * _BOUND) ** 3 / 2.1**3)
        return SignedMesh(
            _interpolated(grid), mesh_from_grid(grid, _BOUND), "filled", fraction, unclear,
            rays, spacing / 2,
        )  # fmt: skip

    return SignedMesh(shell, _extract(shell), "shell", interior, unclear, rays, HALF_THICKNESS)


def _ray_agreement(
    vertices: np.ndarray, faces: np.ndarray, origins: np.ndarray, is_inside: np.ndarray
) -> float:
    import point_cloud_utils as pcu

    direction = np.random.default_rng(1).normal(size=origins.shape)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    face, _, distance = pcu.ray_mesh_intersection(vertices, faces, origins, direction)
    met = np.isfinite(distance)
    a, b, c = (vertices[faces[face[met], i]] for i in range(3))
    leaves = (np.cross(b - a, c - a) * direction[met]).sum(-1) > 0
    return float(np.mean(leaves == is_inside[met])) if met.any() else 0.0


def _queries(points: np.ndarray) -> np.ndarray:
    # point-cloud-utils misreads a single point (as of 0.34), so that one is asked for twice.
    return np.ascontiguousarray(np.repeat(points, 2, 0) if len(points) == 1 else points, float)


def _sheet_share(mesh: trimesh.Trimesh, distance: Distance) -> float:
    """Share of the surface with the outside on both sides."""
    points, face = trimesh.sample.sample_surface(mesh, 4000, seed=0)
    normals = mesh.face_normals[face]
    ahead, behind = (distance(points + side * _SHEET_REACH * normals) > 0 for side in (1, -1))
    return float(np.mean(ahead & behind))


def _extract(distance: Distance) -> trimesh.Trimesh:
    def field(points: Tensor) -> Tensor:
        return torch.from_numpy(distance(points.double().numpy())).float()

    return extract_mesh(field, resolution=_FINE_GRID, bound=_BOUND).mesh


def _filled_grid(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Cells that the surface meets, and those with all that they enclose."""
    points, _ = trimesh.sample.sample_surface(mesh, 400_000, seed=0)
    cells = np.rint((points + _BOUND) / (2 * _BOUND) * (_GRID - 1)).astype(int)
    occupied = np.zeros((_GRID,) * 3, dtype=bool)
    occupied[tuple(np.clip(cells, 0, _GRID - 1).T)] = True
    return ndimage.binary_fill_holes(occupied), occupied


def _interpolated(grid: np.ndarray) -> Distance:
    def distance(points: np.ndarray) -> np.ndarray:
        cells = (points + _BOUND) / (2 * _BOUND) * (_GRID - 1)
        return np.asarray(ndimage.map_coordinates(grid, cells.T, order=1, mode="nearest"))

    return distance
