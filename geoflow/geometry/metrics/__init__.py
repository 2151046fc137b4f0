"""Distances between shapes, scores of sets of shapes, and statistics of meshes.

One idea, one file; `docs/metrics.md` states every convention beside its alternatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geoflow.geometry.metrics.chamfer import (
    chamfer_distance,
    chamfer_distance_squared,
    pairwise_chamfer,
)
from geoflow.geometry.metrics.emd import earth_movers_distance
from geoflow.geometry.metrics.estimate import Estimate
from geoflow.geometry.metrics.jsd import jensen_shannon_divergence
from geoflow.geometry.metrics.mesh import (
    is_edge_manifold,
    is_single_component,
    is_watertight,
)
from geoflow.geometry.metrics.sets import coverage, minimum_matching_distance, one_nn_accuracy
from geoflow.geometry.metrics.surface import f_score, normal_consistency
from geoflow.geometry.metrics.volume import volume_iou

__all__ = [
    "DISTANCES",
    "METRICS",
    "Estimate",
    "chamfer_distance",
    "chamfer_distance_squared",
    "coverage",
    "earth_movers_distance",
    "f_score",
    "is_edge_manifold",
    "is_single_component",
    "is_watertight",
    "jensen_shannon_divergence",
    "minimum_matching_distance",
    "normal_consistency",
    "one_nn_accuracy",
    "pairwise_chamfer",
    "volume_iou",
]

METRICS: dict[str, Callable[..., Any]] = {
    "chamfer": chamfer_distance,
    "chamfer_squared": chamfer_distance_squared,
    "emd": earth_movers_distance,
    "one_nna": one_nn_accuracy,
    "coverage": coverage,
    "minimum_matching_distance": minimum_matching_distance,
    "jsd": jensen_shannon_divergence,
    "f_score": f_score,
    "normal_consistency": normal_consistency,
    "volume_iou": volume_iou,
    "watertight": is_watertight,
    "edge_manifold": is_edge_manifold,
    "single_component": is_single_component,
}
"""Every metric by its name in reports."""

DISTANCES = ("chamfer_squared", "chamfer", "emd")
"""Keys of METRICS between two point clouds, under which sets are compared."""
