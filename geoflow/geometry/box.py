"""Bounding boxes: a normalised shape has its box centred and its longest half extent 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from torch import Tensor


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


def in_cube(
    field: Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]], frame: Float[Tensor, "3 3"]
) -> Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]]:
    """A signed distance, and the solid cut off at the cube of half edge 1 along a frame's vectors.

    A normalised shape ends there, and a network that is right to a hundredth on the mean is farther
    out somewhere: the box around what it draws is too large, and put into its box again, the whole
    shape too small. The larger of two distances is that of the intersection on its surface, and a
    bound elsewhere.

    Args:
        field: negative inside.
        frame: orthonormal, about the origin.
    """

    def distance(points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        found = field(points)
        # Elementwise: of a product so thin the matrix library keeps 10 MB for every calling thread.
        along = (points.to(found)[:, None] * frame.to(found)).sum(-1)
        return found.maximum(along.abs().amax(-1) - 1)

    return distance
