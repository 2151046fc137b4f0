"""Where shapes are put before they are compared. It moves every number: print it beside them.

Each cloud is moved and scaled by what is seen of it, its own points, alike on both sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Clouds = Float[np.ndarray, "n p 3"]


def none(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """Shapes as they are."""
    return samples, reference


def box(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """Each shape's bounding box is centred and its longest half extent becomes 1."""

    def place(clouds: Clouds) -> Clouds:
        low, high = clouds.min(1, keepdims=True), clouds.max(1, keepdims=True)
        return _scale(clouds - (low + high) / 2, (high - low).max((1, 2)) / 2)

    return place(samples), place(reference)


def sphere(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """Each shape's mean moves to the origin and its farthest point to distance 1."""

    def place(clouds: Clouds) -> Clouds:
        centred = clouds - clouds.mean(1, keepdims=True)
        return _scale(centred, np.linalg.norm(centred, axis=-1).max(1))

    return place(samples), place(reference)


def whole(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """One move and one scale for all: the box around all references has half extent 1."""
    low, high = reference.min((0, 1)), reference.max((0, 1))
    scale = np.atleast_1d((high - low).max() / 2)
    centre = (low + high) / 2
    return _scale(samples - centre, scale), _scale(reference - centre, scale)


NORMALISATIONS: dict[str, Callable[[Clouds, Clouds], tuple[Clouds, Clouds]]] = {
    "none": none,
    "box": box,
    "sphere": sphere,
    "global": whole,
}
"""By the name of the command line's option."""


def _scale(clouds: Clouds, scale: Float[np.ndarray, " n"]) -> Clouds:
    if not (scale > 0).all():
        raise ValueError("a shape without extent cannot be normalised")
    return clouds / scale[:, None, None]
