"""The universe: solids of everything, made by seed, offline, with exact signed distances.

A shape is a closed mesh from exact booleans, so its distance is that of a mesh, inside too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from geoflow_datasets.made import Samples, seed_sequence
from geoflow_datasets.universe import craft, rooms, seats, wares
from geoflow_datasets.universe.assembly import assembly
from geoflow_datasets.universe.forms import Array, Solid
from geoflow_datasets.universe.samples import corners_of, sample_triangles

Builder: TypeAlias = Callable[[np.random.Generator], Solid]

# Keeps the streams apart from those of the procedural categories.
_STREAM = 17
# Draws until a thing is in one part; a fifth of the lamps are in more, others less often.
_TRIES = 20


def _whole(build: Builder) -> Builder:
    """A builder whose things are in one part, without a hollow that nothing reaches."""

    def whole(rng: np.random.Generator) -> Solid:
        for _ in range(_TRIES):
            solid = build(rng)
            if len(solid.decompose()) == 1:
                return solid
        raise RuntimeError(f"no {build.__name__} in one part in {_TRIES} draws")

    return whole


_THINGS = (
    seats.chair, seats.bench, seats.sofa, seats.bed, rooms.table, rooms.cabinet, rooms.shelf,
    wares.lamp, wares.mug, wares.bottle, craft.car, craft.airplane, craft.helicopter,
)  # fmt: skip
CATEGORIES: dict[str, Builder] = {
    "assembly": assembly,
    **{build.__name__: _whole(build) for build in _THINGS},
}
"""A further category is a function of a generator in the file of its room, and a name above."""


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
