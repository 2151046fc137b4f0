"""Procedural categories: any number of shapes with exact signed distances, by seed, offline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geoflow.geometry.sdf import Solid, normalise, sample_surface, union_distance
from geoflow_datasets.made import Samples, seed_sequence
from geoflow_datasets.procedural.chair import chair
from geoflow_datasets.procedural.lamp import lamp
from geoflow_datasets.procedural.sofa import sofa
from geoflow_datasets.procedural.table import table
from geoflow_datasets.procedural.vehicles import airplane, car
from geoflow_datasets.procedural.vessels import bottle, mug
from geoflow_datasets.queries import sample_queries

CATEGORIES: dict[str, Callable[[np.random.Generator], list[Solid]]] = {
    "chair": chair,
    "table": table,
    "lamp": lamp,
    "mug": mug,
    "bottle": bottle,
    "airplane": airplane,
    "car": car,
    "sofa": sofa,
}


def make_solids(category: str, index: int, *, split: str = "train") -> list[Solid]:
    """The solids of one shape, centred, longest half extent 1.

    Raises:
        ValueError: for an unknown category or split.
    """
    generator = _generator(category, index, split)
    return normalise(CATEGORIES[category](generator))


def make_samples(
    category: str,
    index: int,
    *,
    split: str = "train",
    num_surface: int = 2048,
    num_queries: int = 4096,
) -> Samples:
    """Surface points with normals and signed distances of one shape.

    Coordinates are rounded to float16 before the distance is evaluated, so that storing them
    in half precision loses nothing.
    """
    solids = make_solids(category, index, split=split)
    rng = np.random.default_rng([int(_generator(category, index, split).integers(2**32)), 1])
    surface, normals = sample_surface(solids, num_surface, rng)
    queries = sample_queries(surface, num_queries, rng)
    sdf = union_distance(solids, queries.astype(np.float64))
    return Samples(
        surface.astype(np.float16), normals.astype(np.float16), queries, sdf.astype(np.float16)
    )


def _generator(category: str, index: int, split: str) -> np.random.Generator:
    return np.random.default_rng(seed_sequence(category, index, split, known=CATEGORIES))
