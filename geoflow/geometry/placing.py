"""Where a shape stands in a file, from its points: what models of upright shapes need, and undo.

Models see shapes upright, their box centred, its longest half extent 1. A cloud has outliers, which
would widen the box: points that lie far from all others are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from geoflow.geometry.box import box_of

MIN_POINTS = 16
"""Fewest points of which a solid can be made out."""
MOST_POINTS = 65_536
"""Points of a cloud that are looked at; of more, as many are drawn."""
# Spreads along the principal axes, as shares of the largest, below which points are flat.
_FLAT = 1e-3
# A point is lonely whose third neighbour is further than so many times the 90 % quantile.
_NEIGHBOURS, _LONELY, _QUANTILE = 3, 2.5, 0.9


@dataclass(frozen=True)
class Place:
    """x = scale q turn + centre takes normalised upright points q, as rows, to those of a file."""

    turn: Float[np.ndarray, "3 3"]
    """Right, up and front of the shape, as rows, in the axes of the file."""
    centre: Float[np.ndarray, " 3"]
    scale: float
    """Longest half extent."""

    def normalise(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the file as a model sees them."""
        return (points - self.centre) / self.scale @ self.turn.T

    def turn_normals(self, normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Directions of the file as a model sees them."""
        return normals @ self.turn.T

    def within(self, centre: Float[np.ndarray, " 3"], half: float) -> Place:
        """The place of another box, given as points of this place see it."""
        return Place(self.turn, self.centre + self.scale * (centre @ self.turn), self.scale * half)

    def restore(self, mesh: trimesh.Trimesh) -> trimesh.Trimesh:
        """A mesh of a model in the coordinates of the file; metadata and colours stay."""
        placed = mesh.copy()
        placed.vertices = self.scale * (np.asarray(mesh.vertices) @ self.turn) + self.centre
        return placed


def place_points(
    points: Float[np.ndarray, "n 3"], turn: Float[np.ndarray, "3 3"] | None = None
) -> Place:
    """The place whose box holds the points; its rows `turn` are right, up, front (default: x y z).

    Raises:
        ValueError: if the points coincide.
    """
    turn = np.eye(3) if turn is None else turn
    middle, half = box_of(points @ turn.T)
    if not half > 0:
        raise ValueError("its points coincide")
    return Place(turn, middle @ turn, float(half))


def check_solid(points: Float[np.ndarray, "n 3"]) -> None:
    """Refuse points of which no solid can be made out.

    Raises:
        ValueError: for too few points, or ones that are not finite, coincide, or lie on a line or
            in a plane.
    """
    broken = int((~np.isfinite(points)).any(axis=1).sum())
    if broken:
        raise ValueError(
            f"its points must be finite, {broken:,} of {len(points):,} are NaN or infinite"
        )
    different = len(np.unique(points, axis=0))
    if different == 1 and len(points) > 1:
        raise ValueError(f"its {len(points):,} points coincide")
    if different < MIN_POINTS:
        raise ValueError(f"a solid needs at least {MIN_POINTS} different points, got {different}")
    spreads = np.linalg.svd(points - points.mean(0), compute_uv=False)
    if spreads[1] < _FLAT * spreads[0]:
        raise ValueError("its points lie on a line: a solid needs points all around it")
    if spreads[2] < _FLAT * spreads[0]:
        raise ValueError("its points lie in a plane: a solid needs points all around it")


def thinned(num: int) -> Int[np.ndarray, " k"]:
    """Which points of a cloud are looked at: all, or of more than MOST_POINTS as many.

    They are the same whoever asks, so that a viewer that keeps no others makes the same of them.
    """
    if num <= MOST_POINTS:
        return np.arange(num)
    return np.random.default_rng(0).permutation(num)[:MOST_POINTS]


def has_company(points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Which points are no outliers: those near others, as the most are."""
    away = cKDTree(points).query(points, k=_NEIGHBOURS + 1)[0][:, -1]
    return np.asarray(away <= _LONELY * np.quantile(away, _QUANTILE))
