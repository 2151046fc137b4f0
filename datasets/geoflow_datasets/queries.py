"""Where signed distances are asked for: near the surface first, then uniformly in a box."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float16

NEAR_SHARE = 0.7
"""Share of the queries that lie near the surface."""
BOUND = 1.05
"""Half extent of the box of the others."""
# Queries near the surface stray from it by one of these standard deviations.
_NEAR_SCALES = (0.012, 0.05)


def sample_queries(
    surface: Float[np.ndarray, "s 3"], num: int, rng: np.random.Generator
) -> Float16[np.ndarray, "q 3"]:
    """Queries of a shape with these surface points.

    They are rounded to half precision before distances are evaluated, so that storing them so
    loses nothing.
    """
    near = int(NEAR_SHARE * num)
    scale = rng.choice(_NEAR_SCALES, size=(near, 1))
    close = surface[rng.integers(len(surface), size=near)] + scale * rng.normal(size=(near, 3))
    spread = rng.uniform(-BOUND, BOUND, (num - near, 3))
    return np.concatenate([close, spread]).astype(np.float16)
