"""Procedural categories: any number of shapes with exact signed distances, by seed, offline.

Shape i of a split is drawn from the seed sequence (split, category, i): splits never share a
shape, and every shape can be made alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geoflow.geometry.sdf import Solid, normalise, sample_surface, union_distance
from geoflow_datasets.layouts import ALL, SPLITS, category_names
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


@dataclass(frozen=True)
class Samples:
    """Points of one shape: its surface, and signed distances around it."""

    surface: Float[np.ndarray, "s 3"]
    normals: Float[np.ndarray, "s 3"]
    queries: Float[np.ndarray, "q 3"]
    sdf: Float[np.ndarray, " q"]


def known_categories(text: str) -> tuple[str, ...]:
    """The categories in 'chair', in 'chair,airplane', or in 'all'.

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


def make_solids(category: str, index: int, *, split: str = "train") -> list[Solid]:
    """The solids of one shape, centred, longest half extent 1.

    Raises:
        ValueError: for an unknown category or split.
    """
    return normalise(CATEGORIES[_known(category)](_generator(category, index, split)))


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


def _known(category: str) -> str:
    if category not in CATEGORIES:
        raise ValueError(f"category must be one of {', '.join(CATEGORIES)}, got {category!r}")
    return category


def _generator(category: str, index: int, split: str) -> np.random.Generator:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    key = zlib.crc32(_known(category).encode())
    return np.random.default_rng([SPLITS.index(split), key, index])
