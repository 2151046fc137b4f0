"""Bounding boxes: a normalised shape has its box centred and its longest half extent 1."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def box_of(
    points: Float[np.ndarray, "*b n 3"],
) -> tuple[Float[np.ndarray, "*b 3"], Float[np.ndarray, "*b"]]:
    """Centre and longest half extent of the points' bounding box, for each cloud of a batch."""
    low, high = points.min(-2), points.max(-2)
    return (low + high) / 2, np.asarray((high - low).max(-1) / 2)


def normalise_box(points: Float[np.ndarray, "*b n 3"]) -> Float[np.ndarray, "*b n 3"]:
    """Points, their box centred and its longest half extent 1, for each cloud of a batch.

    Raises:
        ValueError: if a cloud has no extent.
    """
    centre, half = box_of(points)
    if not (half > 0).all():
        raise ValueError("a shape without extent cannot be normalised")
    return (points - centre[..., None, :]) / half[..., None, None]
