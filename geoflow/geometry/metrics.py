"""Distances between shapes and between sets of shapes.

Chamfer here is the unsquared mean over both directions,
(mean_a min_b |a - b| + mean_b min_a |b - a|) / 2, in the units of the points.

References: 1-NNA, Yang et al., "PointFlow", 2019, arXiv:1906.12320 (after Lopez-Paz & Oquab,
2017, arXiv:1610.06545).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

Points = Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class Accuracy:
    """A share of correct answers, and its binomial standard error."""

    value: float
    standard_error: float


def chamfer_distance(a: Points, b: Points) -> float:
    """Mean unsquared distance to the nearest point, averaged over both directions."""
    return _chamfer(a, cKDTree(a), b, cKDTree(b))


def pairwise_chamfer(
    a: Sequence[Points], b: Sequence[Points] | None = None
) -> Float[np.ndarray, "m n"]:
    """Chamfer distances between all shapes of two sets, or within one (b None), on all cores."""
    trees_a = [cKDTree(points) for points in a]
    others, trees_b = (a, trees_a) if b is None else (b, [cKDTree(points) for points in b])
    distances = np.zeros((len(a), len(others)))

    def row(i: int) -> None:
        for j in range(i + 1 if b is None else 0, len(others)):
            distances[i, j] = _chamfer(a[i], trees_a[i], others[j], trees_b[j])

    # Queries of a k-d tree release the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(row, range(len(a))))
    return distances + distances.T if b is None else distances


def one_nn_accuracy(
    samples: Float[np.ndarray, "m m"],
    reference: Float[np.ndarray, "n n"],
    between: Float[np.ndarray, "m n"],
) -> Accuracy:
    """Leave-one-out accuracy of a nearest-neighbour classifier of samples against reference.

    0.5 is ideal for equal sizes; 1 means that the sets are told apart at sight.

    Raises:
        ValueError: if the three matrices do not fit together.
    """
    m, n = between.shape
    if samples.shape != (m, m) or reference.shape != (n, n):
        raise ValueError(
            f"expected matrices ({m}, {m}) and ({n}, {n}) beside one of {between.shape}, "
            f"got {samples.shape} and {reference.shape}"
        )
    whole = np.block([[samples, between], [between.T, reference]]).astype(float)
    np.fill_diagonal(whole, np.inf)
    is_sample = np.arange(m + n) < m
    correct = is_sample[whole.argmin(1)] == is_sample
    value = float(correct.mean())
    return Accuracy(value, math.sqrt(value * (1 - value) / (m + n)))


def volume_iou(a: Bool[np.ndarray, "*n"], b: Bool[np.ndarray, "*n"]) -> float:
    """Share of common volume, from occupancies at common uniform points; 1 for two empty ones."""
    if a.shape != b.shape:
        raise ValueError(f"occupancies must have one shape, got {a.shape} and {b.shape}")
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def _chamfer(a: Points, tree_a: cKDTree, b: Points, tree_b: cKDTree) -> float:
    there, _ = tree_b.query(a)
    back, _ = tree_a.query(b)
    return float(there.mean() + back.mean()) / 2
