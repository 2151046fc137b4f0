"""Agreement of two surfaces that should be one, from points drawn uniformly by area.

References: F-score, Tatarchenko et al., "What do single-view 3D reconstruction networks learn?",
2019, arXiv:1905.03678; normal consistency, Mescheder et al., "Occupancy networks", 2019,
arXiv:1812.03828.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from geoflow.geometry.metrics.chamfer import Points, point_tree

# One hundredth of the longest edge of a shape whose longest half extent is 1.
F_SCORE_THRESHOLD = 0.02


def f_score(a: Points, b: Points, *, threshold: float = F_SCORE_THRESHOLD) -> float:
    """Harmonic mean of the shares of each cloud that are within `threshold` of the other.

    Raises:
        ValueError: if the threshold is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    there, _ = point_tree(b).query(a)
    back, _ = point_tree(a).query(b)
    precision, recall = float((there <= threshold).mean()), float((back <= threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def normal_consistency(
    a: Points,
    normals_a: Float[np.ndarray, "n 3"],
    b: Points,
    normals_b: Float[np.ndarray, "m 3"],
) -> float:
    """Mean |n · n'| with the unit normal at the nearest point, averaged over both directions.

    1 is agreement; 0.5 is the mean of unrelated directions. Orientation does not count.
    """
    _, there = point_tree(b).query(a)
    _, back = point_tree(a).query(b)
    forth = np.abs((normals_a * normals_b[there]).sum(1)).mean()
    return float(forth + np.abs((normals_b * normals_a[back]).sum(1)).mean()) / 2
