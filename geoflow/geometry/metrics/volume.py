"""Common volume of two solids."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool


def volume_iou(a: Bool[np.ndarray, "*n"], b: Bool[np.ndarray, "*n"]) -> float:
    """Share of common volume, from occupancies at common uniform points; 1 for two empty ones.

    Raises:
        ValueError: if the occupancies are not of the same points.
    """
    if a.shape != b.shape:
        raise ValueError(f"occupancies must have one shape, got {a.shape} and {b.shape}")
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0
