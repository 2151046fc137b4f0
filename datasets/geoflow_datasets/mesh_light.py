"""Which side of open surfaces faces the outside, told by rays that reach it.

The space beside a surface is asked, not the surface itself: behind a leaf it is nearly as light as
in front, behind a wall it is dark. A part faces the lighter side; one about as light on both is a
sheet. Of a sheet, pieces that are quite dark on one side bound what lies there: earth fills a pot
up to its level, and a plate closes the knob that stands on it.

Reference: Takayama et al., "A simple method for correcting facet orientations in polygon meshes
based on ray casting", JCGT 2014, which asks the surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

# A part is a sheet where its darker side is lighter than this share of the other, and where the
# lighter one lets less than this share of the rays out.
_SHEET_RATIO, _DARK, _DOUBT = 0.3, 0.002, 3
# Places looked at for each part at least, for all at most, and rays from each.
_FEW, _MOST_PLACES, _RAYS = 8, 12_000, 12
# Places beside a piece, in rounds, as long as one of its sides is quite dark; rays from each; and
# how light the other must be.
_ROUNDS, _PIECE_RAYS, _LIGHT = (1, 3, 8), 8, 0.05
# Directions in which a point is asked for its light, and points asked at a time.
_AROUND, _AT_ONCE = 32, 50_000
# Places are so far from the surface, and pieces are at most so long.
_NEAR, _FAR, _PIECE, _MOST_PIECES = 1e-3, 0.1, 0.1, 200_000


@dataclass(frozen=True)
class Light:
    """A surface that stands in the way of light from outside."""

    vertices: np.ndarray
    faces: np.ndarray

    def of_parts(
        self, part: np.ndarray, asked: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which side of parts is lighter: 1 the front, -1 the back; which are sheets; which dark.

        Those in the dark are sheets here: light tells nothing of them.

        Args:
            part: (f,), that each face is of.
            asked: (p,), the parts to look at; the others are no sheets, and their front is lighter.
        """
        side, sheet = np.ones(len(asked), dtype=int), asked.copy()
        place = self._places(part, asked)
        if len(place) == 0:
            return side, sheet, asked
        rng = np.random.default_rng(1)
        corners, owner = self.vertices[self.faces[place]], part[place]
        rays = _RAYS * np.maximum(np.bincount(owner, minlength=len(asked)), 1)
        front, back = (
            np.bincount(owner, self._free(corners, sign, _RAYS, rng), len(asked))
            for sign in (1, -1)
        )
        most, least = np.maximum(front, back), np.minimum(front, back)
        # So many rays more may get out of the dark: few that get out of the light prove nothing.
        dark = asked & (most < _DARK * rays)
        sheet &= (least + _DOUBT > _SHEET_RATIO * most) | dark
        side[asked & (back > front)] = -1
        return side, sheet, dark

    def of_pieces(self, corners: np.ndarray) -> np.ndarray:
        """For triangles (n, 3, 3): 1 where the back alone is dark, -1 the front alone, else 0."""
        rng = np.random.default_rng(2)
        seen = np.zeros((2, len(corners)))
        left = np.arange(len(corners))
        for places in _ROUNDS:
            again = corners[np.repeat(left, places)]
            for row, sign in enumerate((1, -1)):
                free = self._free(again, sign, _PIECE_RAYS, rng)
                seen[row, left] += free.reshape(-1, places).sum(1)
            left = left[(seen[:, left] == 0).sum(0) == 1]
        front, back = seen[:, left] > _LIGHT * _PIECE_RAYS * sum(_ROUNDS)
        found = np.zeros(len(corners), dtype=int)
        found[left] = front.astype(int) - back
        return found

    def at(self, points: np.ndarray) -> np.ndarray:
        """Which share of all directions leads outside, at points (n, 3)."""
        shares = [np.zeros(0)]
        for start in range(0, len(points), _AT_ONCE):
            origins = np.repeat(points[start : start + _AT_ONCE], _AROUND, 0)
            around = np.tile(_DIRECTIONS, (len(origins) // _AROUND, 1))
            free = ~np.isfinite(self._reach(origins, around))
            shares.append(free.reshape(-1, _AROUND).mean(1))
        return np.concatenate(shares)

    def _places(self, part: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Faces to look from: each part by its area, and a few times at least."""
        areas = mesh_areas(self.vertices[self.faces])
        chosen = np.flatnonzero(asked[part] & (areas > 0))
        if len(chosen) == 0:
            return chosen
        by_part = chosen[np.argsort(part[chosen], kind="stable")]
        _, start, count = np.unique(part[by_part], return_index=True, return_counts=True)
        few = by_part[start[:, None] + np.arange(_FEW) % count[:, None]].ravel()
        share = areas[chosen] / areas[chosen].sum()
        rng = np.random.default_rng(0)
        return np.concatenate(
            [few, rng.choice(chosen, min(_MOST_PLACES, 40 * len(chosen)), p=share)]
        )

    def _free(
        self, corners: np.ndarray, sign: int, rays: int, rng: np.random.Generator
    ) -> np.ndarray:
        """How many of a number of rays get out from beside triangles (n, 3, 3).

        They start from one point each, before (1) or behind (-1) the triangle by a random share of
        the room that there is.
        """
        mix = rng.dirichlet([1, 1, 1], len(corners))
        normals = sign * mesh_normals(corners)
        origins = (mix[:, :, None] * corners).sum(1) + _NEAR * normals
        room = np.minimum(self._reach(origins, normals), _FAR)
        origins += (room * rng.random(len(room)))[:, None] * normals
        around = rng.normal(size=(len(origins) * rays, 3))
        around /= np.linalg.norm(around, axis=-1, keepdims=True)
        free = ~np.isfinite(self._reach(np.repeat(origins, rays, 0), around))
        return np.asarray(free.reshape(-1, rays).sum(1))

    def _reach(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """How far rays get."""
        if len(origins) == 0:
            return np.zeros(0)
        # point-cloud-utils misreads a single ray (as of 0.34), so that one is asked for twice.
        twice = 2 if len(origins) == 1 else 1
        asked = [np.ascontiguousarray(np.repeat(x, twice, 0)) for x in (origins, directions)]
        return np.asarray(self._intersector.intersect_rays(*asked)[2])[: len(origins)]

    @cached_property
    def _intersector(self) -> Any:
        import point_cloud_utils as pcu

        return pcu.RayMeshIntersector(self.vertices, np.ascontiguousarray(self.faces))


def _spread(num: int) -> np.ndarray:
    """Unit vectors (num, 3), evenly spread along a spiral around the sphere."""
    height = 1 - (2 * np.arange(num) + 1) / num
    turn = np.pi * (1 + np.sqrt(5)) * np.arange(num)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], axis=-1)


# The same at each point: random ones would make what is told of neighbours differ.
_DIRECTIONS = _spread(_AROUND)


def mesh_areas(corners: np.ndarray) -> np.ndarray:
    """Areas (f,) of triangles (f, 3, 3)."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(0.5 * np.linalg.norm(normals, axis=-1))


def mesh_normals(corners: np.ndarray) -> np.ndarray:
    """Unit normals (f, 3) of triangles (f, 3, 3) that have an area."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True))


def pieces(corners: np.ndarray) -> np.ndarray:
    """Triangles split at their longest edge until none is long, without those of no area."""
    corners = corners[mesh_areas(corners) > 1e-14]
    most, size = max(_MOST_PIECES, 2 * len(corners)), _PIECE
    done = [corners[:0]]
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
