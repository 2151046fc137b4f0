"""The universe: solids of everything, made by seed, offline, with exact signed distances.

A shape is a closed mesh from exact booleans, so its distance is that of a mesh, inside too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geoflow_datasets.made import Samples, seed_sequence
from geoflow_datasets.universe.assembly import assembly
from geoflow_datasets.universe.forms import Array, Solid
from geoflow_datasets.universe.samples import corners_of, sample_triangles

# Keeps the streams apart from those of the procedural categories.
_STREAM = 17

CATEGORIES: dict[str, Callable[[np.random.Generator], Solid]] = {
    "assembly": assembly,
}
"""A further category is a function of a generator in a file of its own, and a row here."""


def make_triangles(category: str, index: int, *, split: str = "train") -> Array:
    """Triangles (f, 3, 3) of one shape, its box centred and its longest half extent 1.

    Raises:
        ValueError: for an unknown category or split.
    """
    rng = _generator(category, index, split)
    return corners_of(CATEGORIES[category](rng))


def make_samples(
    category: str,
    index: int,
    *,
    split: str = "train",
    num_surface: int = 2048,
    num_queries: int = 4096,
) -> Samples:
    """Surface points with normals and signed distances of one shape.

    Raises:
        ValueError: as `make_triangles`.
    """
    corners = make_triangles(category, index, split=split)
    rng = np.random.default_rng([int(_generator(category, index, split).integers(2**32)), 1])
    return sample_triangles(corners, num_surface, num_queries, rng)


def _generator(category: str, index: int, split: str) -> np.random.Generator:
    numbers = seed_sequence(category, index, split, known=CATEGORIES, stream=[_STREAM])
    return np.random.default_rng(numbers)
