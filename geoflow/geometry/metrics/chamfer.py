"""Chamfer distance of point clouds, by k-d trees in double precision.

Two forms, from the same nearest distances d:

- `chamfer_distance`: (mean_a d + mean_b d) / 2, unsquared, in the units of the points;
- `chamfer_distance_squared`: mean_a d² + mean_b d², the sum of both directions' means of
  squares, the CD of PointFlow and of the tables that follow it.

Differences are squared, never xx + yy − 2xy, which loses its digits far from the origin.

Reference: Yang et al., "PointFlow", 2019, arXiv:1906.12320.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

Points = Float[np.ndarray, "_ 3"]
"""A cloud of any size: two of a pair need not agree."""

# Larger leaves than SciPy's 16: a tenth faster on 2,048 surface points.
_LEAF_SIZE = 24


def chamfer_distance(a: Points, b: Points) -> float:
    """Mean unsquared distance to the nearest point, averaged over both directions.

    Raises:
        ValueError: if a cloud is empty or not finite.
    """
    return chamfer_of_trees(point_tree(a), point_tree(b))[0]


def chamfer_distance_squared(a: Points, b: Points) -> float:
    """Mean squared distance to the nearest point, summed over both directions.

    Raises:
        ValueError: if a cloud is empty or not finite.
    """
    return chamfer_of_trees(point_tree(a), point_tree(b))[1]


def pairwise_chamfer(
    a: Sequence[Points], b: Sequence[Points] | None = None, *, squared: bool = False
) -> Float[np.ndarray, "m n"]:
    """Chamfer distances between all shapes of two sets, or within one (b None), on all cores."""
    trees = [point_tree(points) for points in a]
    others = trees if b is None else [point_tree(points) for points in b]
    distances = np.zeros((len(trees), len(others)))

    def row(i: int) -> None:
        for j in range(i + 1 if b is None else 0, len(others)):
            distances[i, j] = chamfer_of_trees(trees[i], others[j])[int(squared)]

    # Queries of a k-d tree release the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(row, range(len(trees))))
    return distances + distances.T if b is None else distances


def point_tree(points: Points) -> cKDTree:
    """The k-d tree of a cloud.

    Raises:
        ValueError: if the cloud is empty or not finite.
    """
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"points must have shape (n, 3), n > 0, got {points.shape}")
    return cKDTree(np.asarray(points, dtype=np.float64), leafsize=_LEAF_SIZE)


def chamfer_of_trees(a: cKDTree, b: cKDTree) -> tuple[float, float]:
    """The unsquared and the squared form, from one search in each direction."""
    there, _ = b.query(a.data)
    back, _ = a.query(b.data)
    return (
        float(there.mean() + back.mean()) / 2,
        float(np.square(there).mean() + np.square(back).mean()),
    )
