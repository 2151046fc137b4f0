"""Jensen–Shannon divergence of the places that two sets of shapes fill.

A grid of 28³ points spans the cube [−h, h]³; those outside the sphere of radius h are dropped.
Every point of every shape counts for the nearest grid point that is left, so what lies outside
the sphere or the cube counts at its rim. The two normalised histograms are compared in bits:
JSD = H((P + Q) / 2) − (H(P) + H(Q)) / 2, 0 for one histogram, 1 for disjoint ones.

With h = 1/2 this is PointFlow's; h = 1 fits shapes whose longest half extent is 1.

References: Achlioptas et al., "Learning representations and generative models for 3D point
clouds", 2018, arXiv:1707.02392; Yang et al., "PointFlow", 2019, arXiv:1906.12320.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.stats import entropy

RESOLUTION = 28
# Shares below this of the radius do not put a point outside.
_TOLERANCE = 1e-6


def jensen_shannon_divergence(
    a: Iterable[Float[np.ndarray, "_ 3"]],
    b: Iterable[Float[np.ndarray, "_ 3"]],
    *,
    half_extent: float = 1.0,
    resolution: int = RESOLUTION,
) -> float:
    """Divergence in bits, in [0, 1], of the occupancies of two sets of clouds.

    Raises:
        ValueError: if a set is empty.
    """
    p, q = (_occupancy(clouds, half_extent, resolution) for clouds in (a, b))
    bits = entropy((p + q) / 2, base=2) - (entropy(p, base=2) + entropy(q, base=2)) / 2
    return max(float(bits), 0.0)


def outside_share(clouds: Iterable[Float[np.ndarray, "_ 3"]], *, half_extent: float = 1.0) -> float:
    """Share of all points that lie outside the sphere, and count at its rim."""
    radius = np.linalg.norm(np.concatenate(list(clouds)), axis=1)
    return float((radius > half_extent * (1 + _TOLERANCE)).mean())


def _occupancy(
    clouds: Iterable[Float[np.ndarray, "_ 3"]], half_extent: float, resolution: int
) -> Float[np.ndarray, " g"]:
    """Share of the points of a set at each point of the grid in the sphere."""
    axis = np.linspace(-half_extent, half_extent, resolution)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[np.linalg.norm(grid, axis=1) <= half_extent]
    tree, counts = cKDTree(grid), np.zeros(len(grid))
    for points in clouds:
        _, nearest = tree.query(points)
        counts += np.bincount(nearest, minlength=len(grid))
    if not counts.any():
        raise ValueError("a set needs at least one cloud")
    return counts / counts.sum()
