"""The universe: solids of everything, made by seed, offline, with exact signed distances.

A shape is a closed mesh from exact booleans, so its distance is that of a mesh, inside too. Shape
i of a split is drawn from the seed sequence (split, category, i), as procedural shapes are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from geoflow_datasets.layouts import ALL, SPLITS, category_names
from geoflow_datasets.procedural import Samples
from geoflow_datasets.universe.assembly import assembly
from geoflow_datasets.universe.forms import Array, Solid
from geoflow_datasets.universe.samples import corners_of, sample_triangles

CATEGORIES: dict[str, Callable[[np.random.Generator], Solid]] = {
    "assembly": assembly,
}
"""A further category is a function of a generator in a file of its own, and a row here."""


def known_categories(text: str) -> tuple[str, ...]:
    """The categories in 'assembly', in 'assembly,bed', or in 'all'.

    Raises:
        ValueError: for a category that is not there, or comes twice.
    """
    if text == ALL:
        return tuple(CATEGORIES)
    names = category_names(text)
    unknown = [name for name in names if name not in CATEGORIES]
    if unknown:
        raise ValueError(f"category must be of {', '.join(CATEGORIES)}, or all; got {unknown[0]!r}")
    return names


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
    if category not in CATEGORIES:
        raise ValueError(f"category must be one of {', '.join(CATEGORIES)}, got {category!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    # The first number keeps these streams apart from those of the procedural categories.
    key = zlib.crc32(category.encode())
    return np.random.default_rng([17, SPLITS.index(split), key, index])
