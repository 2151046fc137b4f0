"""Mirror images in the plane x = 0: of points, and of halves, which they make whole."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def mirror_points(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Their mirror images."""
    return np.asarray(points * [-1.0, 1.0, 1.0])


def with_mirror_image(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    """A surface at x >= 0 that is open only at x = 0, and its mirror image, joined to one.

    The vertices of the border are shared, and nothing else is: a surface that touches the plane
    at a point from one side is not welded there to its image.
    """
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    found, count = np.unique(edges, axis=0, return_counts=True)
    is_shared = np.zeros(len(vertices), dtype=bool)
    is_shared[found[count == 1].ravel()] = True
    own = np.flatnonzero(~is_shared)
    image = np.arange(len(vertices))
    image[own] = len(vertices) + np.arange(len(own))
    doubled = np.concatenate([vertices, mirror_points(vertices[own])])
    return doubled, np.concatenate([faces, image[faces[:, ::-1]]])
