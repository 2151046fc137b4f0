"""Where shapes are put before they are compared. It moves every number: print it beside them.

Each cloud is moved and scaled by what is seen of it, its own points, alike on both sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from geoflow.geometry.box import box_of, normalise_box

Clouds = Float[np.ndarray, "_ _ 3"]
"""Clouds of one size; samples and reference need not agree in number or size."""


def none(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """Shapes as they are."""
    return samples, reference


def box(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """Each shape's bounding box is centred and its longest half extent becomes 1."""
    return normalise_box(samples), normalise_box(reference)


def sphere(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """Each shape's mean moves to the origin and its farthest point to distance 1."""

    def place(clouds: Clouds) -> Clouds:
        centred = clouds - clouds.mean(1, keepdims=True)
        return _scale(centred, np.linalg.norm(centred, axis=-1).max(1))

    return place(samples), place(reference)


def whole(samples: Clouds, reference: Clouds) -> tuple[Clouds, Clouds]:
    """One move and one scale for all: the box around all references has half extent 1."""
    centre, half = box_of(reference.reshape(-1, 3))
    scale = np.atleast_1d(half)
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
