"""The surface around a solid: pieces of a mesh with the outside on a side.

Where the solid is thinner than asked for, and at sheets, the surface lies further out by what is
missing. Its distance is exact: that to the pieces, less what is missing at the nearest point.

A solid may end where there is no surface: behind the hole of an open part. How deep it is there is
looked up for each piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import trimesh

from geoflow.geometry.read_mesh import MeshError
from geoflow_datasets.mesh_light import mesh_areas, mesh_normals, pieces

Inside = Callable[[np.ndarray], np.ndarray]

# Which sides of a piece are inside is asked this far off; the walls of a gap narrower than that are
# not seen, and it is solid but for the sign of points inside it.
_STEP = 2e-4
_PROBES = 10_000
# How deep a solid is where it ends without a surface, in such parts of the thickness.
_DEPTHS = 4
# A point of the surface has the outside so far ahead and the inside so far behind.
_CLEAR = 0.004
# Rims of sheets are met by points that stray so many times the missing thickness: the band beside
# an edge then gets its share of the area, pi / 2 of the half thickness on either side.
_STRAY, _RIM = 4.0, 0.98


@dataclass(frozen=True)
class Body:
    """Pieces of surface with the outside on a side, turned outward.

    Attributes:
        corners: (f, 3, 3).
        sheet: (f,), those with the outside on both sides.
        open_depth: (f,), how deep the solid is where it ends without a surface within the
            thickness, else infinite.
        inside: of points (n, 3), whether they are inside.
        half: half of the least thickness.
    """

    corners: np.ndarray
    sheet: np.ndarray
    open_depth: np.ndarray
    inside: Inside
    half: float

    @staticmethod
    def of(corners: np.ndarray, inside: Inside, half: float) -> Body:
        """Triangles (f, 3, 3), split into pieces, without those that lie inside the solid.

        Raises:
            MeshError: if none is left.
        """
        corners = pieces(corners)
        normals = mesh_normals(corners)
        centres = corners.mean(1)
        front, back = (inside(centres + side * _STEP * normals) for side in (1, -1))
        turned = np.where((front & ~back)[:, None, None], corners[:, ::-1], corners)
        outer = ~(front & back)
        if not outer.any():
            raise MeshError("its surface is hidden inside itself")
        corners, sheet = turned[outer], (~front & ~back)[outer]
        body = Body(corners, sheet, np.full(len(sheet), np.inf), inside, half)
        return replace(body, open_depth=body._open_depth())

    def _open_depth(self) -> np.ndarray:
        found = np.full(len(self.sheet), np.inf)
        asked = np.flatnonzero(~self.sheet)
        centres, inward = self.corners[asked].mean(1), -mesh_normals(self.corners[asked])
        to_surface = self._depth(centres, inward)
        # The full depth first, where few have ended; at less those alone are asked.
        for depth in 2 * self.half * np.arange(_DEPTHS, 0, -1) / _DEPTHS:
            ends = (to_surface > depth) & ~self.inside(centres + depth * inward)
            asked, centres, inward, to_surface = (
                each[ends] for each in (asked, centres, inward, to_surface)
            )
            # Half of the part before is inside in the mean.
            found[asked] = depth - self.half / _DEPTHS
        return found

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance at (n, 3) points."""
        distance, face, nearest = self.closest(points)
        signed = np.where(self.inside(points), -distance, distance)
        return np.asarray(signed - self.missing(face, nearest))

    def thin_fraction(self) -> float:
        """Share of the surface that is moved outward."""
        areas = mesh_areas(self.corners)
        share = areas / areas.sum()
        face = np.random.default_rng(2).choice(len(areas), _PROBES, p=share)
        missing = self.missing(face, self.corners[face].mean(1))
        return float(np.mean(missing > 0.05 * self.half))

    def mesh(self) -> trimesh.Trimesh:
        """The pieces as a mesh."""
        return trimesh.Trimesh(
            self.corners.reshape(-1, 3), np.arange(3 * len(self.corners)).reshape(-1, 3),
        )  # fmt: skip

    def sample(self, num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, 3) of the surface, about uniform by area, with unit outward normals.

        Fewer than asked for come where nearly all of the surface is hidden inside the solid.
        """
        points: list[np.ndarray] = []
        normals: list[np.ndarray] = []
        for _ in range(6):
            tried, ahead = self._candidates(num + num // 4, rng)
            outer = (self.distance(tried + _CLEAR * ahead) > 0) & (
                self.distance(tried - _CLEAR * ahead) < 0
            )
            points.append(tried[outer])
            normals.append(ahead[outer])
            if sum(map(len, points)) >= num:
                break
        found, outward = np.concatenate(points), np.concatenate(normals)
        order = rng.permutation(len(found))[:num]
        return found[order], outward[order]

    def _candidates(self, num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points over the pieces and around their rims, moved out by what is missing."""
        # Sheets have two sides.
        weight = mesh_areas(self.corners) * np.where(self.sheet, 2.0, 1.0)
        face = rng.choice(len(weight), num, p=weight / weight.sum())
        mix = rng.dirichlet([1.0, 1.0, 1.0], num)[:, :, None]
        points = (mix * self.corners[face]).sum(1)
        normals = mesh_normals(self.corners[face])
        normals[self.sheet[face] & (rng.random(num) < 0.5)] *= -1
        missing = self.missing(face, points)[:, None]
        moved = missing[:, 0] > 0.05 * self.half
        over = points + missing * normals
        if not moved.any():
            return over, normals
        strayed = points[moved] + _STRAY * missing[moved] * rng.normal(size=(moved.sum(), 3))
        distance, face, nearest = self.closest(strayed)
        away = (strayed - nearest) / np.maximum(distance, 1e-12)[:, None]
        rim = np.abs((away * mesh_normals(self.corners[face])).sum(-1)) < _RIM
        around = nearest[rim] + self.missing(face, nearest)[rim, None] * away[rim]
        return np.concatenate([over, around]), np.concatenate([normals, away[rim]])

    @cached_property
    def _soup(self) -> tuple[np.ndarray, np.ndarray]:
        vertices = np.ascontiguousarray(self.corners.reshape(-1, 3))
        return vertices, np.arange(len(vertices)).reshape(-1, 3)

    def closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance to the pieces without a sign, the nearest piece, and the point of it."""
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

    def missing(self, face: np.ndarray, points: np.ndarray) -> np.ndarray:
        """What the body lacks to its half thickness at points of its faces.

        A ray straight inward leaves the body after its thickness there.
        """
        depth = self._depth(points, -mesh_normals(self.corners[face]))
        # Both surfaces of a thin part give half; there is but one where a solid is open behind.
        closed = self.half - 0.5 * depth
        opened = 2 * self.half - self.open_depth[face]
        missing = np.clip(np.maximum(closed, opened), 0.0, self.half)
        return np.asarray(np.where(self.sheet[face], self.half, missing))

    def _depth(self, points: np.ndarray, inward: np.ndarray) -> np.ndarray:
        """How far it is from points of the surface to the next surface along rays inward."""
        asked = [points + 1e-4 * inward, inward]
        if len(points) == 1:
            asked = [np.repeat(x, 2, 0) for x in asked]
        found = self._intersector.intersect_rays(*map(np.ascontiguousarray, asked))
        return np.asarray(found[2])[: len(points)] + 1e-4
