"""Signed distances of meshes as people have them: open, many parts, badly oriented.

Each part is turned outward (see mesh_parts). A point is inside where the generalised winding
number of the parts that bound a solid is above one half: that closes holes by a smooth membrane.

The distance is exact, to the surfaces that have the outside on a side: those that lie inside the
solid are left out. Where a part is thinner than asked for, and at sheets, which have the outside
on both sides, the surface moves outward by what is missing, and nowhere else. The method is called
`thickened` where that is so for more than two percent of the surface, `shell` where there is no
inside at all, and else `winding`.

References: Barill et al., "Fast winding numbers for soups and clouds", 2018 (point-cloud-utils);
Shapira et al., "Consistent mesh partitioning and skeletonisation using the shape diameter
function", 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.geometry.extraction import EmptySurfaceError, extract_mesh
from geoflow.geometry.read_mesh import MeshError
from geoflow_datasets.mesh_parts import Parts, mesh_areas, orient, winding

Method = Literal["winding", "thickened", "shell"]
Distance = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]
Inside = Callable[[np.ndarray], np.ndarray]

THICKNESS = 0.018
"""Least thickness of a part: just over a cell of a grid of 128 cells over the cube."""
_BOUND = 1.15
# Cells of the grid that thickened surfaces are extracted on: 0.014 apart.
_FINE_GRID = 160
_PROBES, _RAYS = 20_000, 4000
# A winding number between these is no answer.
_UNCLEAR = (0.25, 0.75)
# Which sides of a piece are inside is asked this far off; pieces are at most this long.
_STEP, _PIECE, _MOST_PIECES = 1e-3, 0.1, 200_000
_MAX_THIN = 0.02


@dataclass(frozen=True)
class SignedMesh:
    """A mesh with a signed distance, and how it came by it.

    Attributes:
        distance: signed distance, negative inside.
        surface: triangles around the solid.
        method: how the signs were found.
        inside: what is inside before thin parts are thickened.
        interior_fraction: share of the cube of half extent 1.05 that is inside.
        unclear_fraction: share of that cube where the winding number is unclear.
        ray_agreement: share of random rays that first meet a face from the side that the sign
            tells.
        half_thickness: that of sheets; 0 where nothing is thickened.
        thin_fraction: share of the surface that is moved outward.
        parts: what the mesh is made of.
    """

    distance: Distance
    surface: trimesh.Trimesh
    method: Method
    inside: Inside
    interior_fraction: float
    unclear_fraction: float
    ray_agreement: float
    half_thickness: float
    thin_fraction: float
    parts: Parts


def sign_mesh(
    mesh: trimesh.Trimesh, *, thickness: float = THICKNESS, keep_cavities: bool = False
) -> SignedMesh:
    """Signed distance of a mesh whose box is centred, with longest half extent 1.

    Args:
        mesh: merged.
        thickness: least thickness of its parts; thinner ones are thickened.
        keep_cavities: keep closed hollows that nothing outside reaches.

    Raises:
        MeshError: if the mesh has no area or is not finite.
    """
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all() or mesh.area <= 1e-9:
        raise MeshError("it has no triangles of finite, positive area")
    parts = orient(mesh, keep_cavities=keep_cavities)
    bounding = parts.faces[parts.bounding]
    number = partial(winding, parts.vertices, bounding)
    probes = np.random.default_rng(0).uniform(-1.05, 1.05, (_PROBES, 3))
    at_probes = number(probes)
    corners = _pieces(parts.vertices[parts.faces])
    body = _Body.of(corners, lambda points: number(points) > 0.5, thickness / 2)
    thin = body.thin_fraction()
    method: Method = "thickened" if thin > _MAX_THIN else "winding"
    if body.sheet.all():
        method = "shell"
    inner = float(np.mean(at_probes > 0.5))
    rays = _ray_agreement(parts, probes[:_RAYS], at_probes[:_RAYS] > 0.5)
    surface = body.mesh() if thin == 0 else _extract(body.distance)
    return SignedMesh(
        body.distance, surface, method, body.inside, inner, _unclear(at_probes), rays,
        thickness / 2 if thin > 0 else 0.0, thin, parts,
    )  # fmt: skip


@dataclass(frozen=True)
class _Body:
    """Pieces of surface with the outside on a side, turned outward."""

    corners: np.ndarray
    sheet: np.ndarray
    inside: Inside
    half: float

    @staticmethod
    def of(corners: np.ndarray, inside: Inside, half: float) -> _Body:
        """Leave out the pieces that lie inside the solid.

        Raises:
            MeshError: if none is left.
        """
        normals = _normals(corners)
        centres = corners.mean(1)
        front, back = (inside(centres + side * _STEP * normals) for side in (1, -1))
        turned = np.where((front & ~back)[:, None, None], corners[:, ::-1], corners)
        outer = ~(front & back)
        if not outer.any():
            raise MeshError("its surface is hidden inside itself")
        return _Body(turned[outer], (~front & ~back)[outer], inside, half)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance at (n, 3) points."""
        distance, face, nearest = self._closest(points)
        signed = np.where(self.inside(points), -distance, distance)
        return np.asarray(signed - self._missing(face, nearest))

    def thin_fraction(self) -> float:
        """Share of the surface that is moved outward."""
        areas = mesh_areas(self.corners)
        share = areas / areas.sum()
        face = np.random.default_rng(2).choice(len(areas), _PROBES // 2, p=share)
        missing = self._missing(face, self.corners[face].mean(1))
        return float(np.mean(missing > 0.05 * self.half))

    def mesh(self) -> trimesh.Trimesh:
        """The pieces as a mesh."""
        return trimesh.Trimesh(
            self.corners.reshape(-1, 3), np.arange(3 * len(self.corners)).reshape(-1, 3),
        )  # fmt: skip

    @cached_property
    def _soup(self) -> tuple[np.ndarray, np.ndarray]:
        vertices = np.ascontiguousarray(self.corners.reshape(-1, 3))
        return vertices, np.arange(len(vertices)).reshape(-1, 3)

    def _closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import point_cloud_utils as pcu

        vertices, faces = self._soup
        # point-cloud-utils misreads a single point (as of 0.34), so that one is asked for twice.
        asked = np.ascontiguousarray(np.repeat(points, 2, 0) if len(points) == 1 else points, float)
        distance, face, weights = pcu.closest_points_on_mesh(asked, vertices, faces)
        nearest = (weights[:, :, None] * self.corners[face]).sum(1)
        num = len(points)
        return distance[:num], face[:num], nearest[:num]

    @cached_property
    def _intersector(self) -> Any:
        import point_cloud_utils as pcu

        return pcu.RayMeshIntersector(*self._soup)

    def _missing(self, face: np.ndarray, points: np.ndarray) -> np.ndarray:
        """What the body lacks to its half thickness at points of its faces.

        A ray straight inward leaves the body after its thickness there.
        """
        inward = -_normals(self.corners[face])
        asked = [points + 1e-4 * inward, inward]
        if len(points) == 1:
            asked = [np.repeat(x, 2, 0) for x in asked]
        found = self._intersector.intersect_rays(*map(np.ascontiguousarray, asked))
        depth = np.asarray(found[2])[: len(points)] + 1e-4
        missing = np.clip(self.half - 0.5 * depth, 0.0, self.half)
        return np.asarray(np.where(self.sheet[face], self.half, missing))


def _unclear(number: np.ndarray) -> float:
    between = (number > _UNCLEAR[0]) & (number < _UNCLEAR[1])
    return float(np.mean(between | (number < -_UNCLEAR[0])))


def _normals(corners: np.ndarray) -> np.ndarray:
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True))


def _pieces(corners: np.ndarray) -> np.ndarray:
    """Triangles split at their longest edge until none is long, without those of no area."""
    corners = corners[mesh_areas(corners) > 1e-14]
    most, size = max(_MOST_PIECES, 2 * len(corners)), _PIECE
    done: list[np.ndarray] = []
    while len(corners):
        lengths = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=-1)
        long = lengths.max(1) > size
        done.append(corners[~long])
        if sum(map(len, done)) + 2 * np.count_nonzero(long) > most:
            done.append(corners[long])
            break
        first = lengths.argmax(1)[long][:, None]
        a, b, c = (
            np.take_along_axis(corners[long], (first[:, :, None] + k) % 3, 1)[:, 0]
            for k in range(3)
        )
        middle = (a + b) / 2
        corners = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
    found = np.concatenate(done)
    return found[mesh_areas(found) > 1e-14]


def _ray_agreement(parts: Parts, origins: np.ndarray, is_inside: np.ndarray) -> float:
    import point_cloud_utils as pcu

    direction = np.random.default_rng(1).normal(size=origins.shape)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    face, _, distance = pcu.ray_mesh_intersection(parts.vertices, parts.faces, origins, direction)
    met = np.isfinite(distance)
    a, b, c = (parts.vertices[parts.faces[face[met], i]] for i in range(3))
    leaves = (np.cross(b - a, c - a) * direction[met]).sum(-1) > 0
    return float(np.mean(leaves == is_inside[met])) if met.any() else 0.0


def _extract(distance: Distance) -> trimesh.Trimesh:
    def field(points: Tensor) -> Tensor:
        return torch.from_numpy(distance(points.double().numpy())).float()

    try:
        return extract_mesh(field, resolution=_FINE_GRID, bound=_BOUND).mesh
    except EmptySurfaceError as error:
        raise MeshError(f"it is too thin everywhere: {error}") from error
