"""Scores of a set of samples against a set of references, from matrices of distances.

References: 1-NNA, Yang et al., "PointFlow", 2019, arXiv:1906.12320 (after Lopez-Paz & Oquab,
2017, arXiv:1610.06545); MMD and coverage, Achlioptas et al., "Learning representations and
generative models for 3D point clouds", 2018, arXiv:1707.02392.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geoflow.geometry.metrics.estimate import Estimate, mean


@dataclass(frozen=True)
class NearestNeighbours(Estimate):
    """Accuracy over both sets, and over each: copies of one reference read 50 only together."""

    samples: float = math.nan
    """Share of the samples whose nearest other shape is a sample."""
    references: float = math.nan
    """Share of the references whose nearest other shape is a reference."""


def one_nn_accuracy(
    samples: Float[np.ndarray, "m m"],
    reference: Float[np.ndarray, "n n"],
    between: Float[np.ndarray, "m n"],
) -> NearestNeighbours:
    """Leave-one-out accuracy of a nearest-neighbour classifier of samples against reference.

    0.5 is ideal for equal sizes; 1 means that the sets are told apart at sight. Less than 0.5
    is not better: samples are then nearer to references than those are to each other, as copies
    are. A shape with several nearest others counts by the share of them that is of its set. The
    standard error is binomial over all m + n shapes.

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
    is_nearest = whole == whole.min(1, keepdims=True)
    alike = (is_nearest & (is_sample == is_sample[:, None])).sum(1) / is_nearest.sum(1)
    value = float(alike.sum()) / (m + n)
    error = math.sqrt(value * (1 - value) / (m + n))
    return NearestNeighbours(value, error, float(alike[:m].mean()), float(alike[m:].mean()))


def minimum_matching_distance(between: Float[np.ndarray, "m n"]) -> Estimate:
    """Mean over the n references of the distance to the nearest sample, with s / √n."""
    return mean(between.min(0))


def coverage(between: Float[np.ndarray, "m n"]) -> Estimate:
    """Share of the n references that are the nearest to at least one sample.

    Shapes are not covered independently of each other: there is no standard error.
    """
    return Estimate(len(np.unique(between.argmin(1))) / between.shape[1])
