"""Banks of the universe's shapes, made once in parallel and cached by what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
from rich.progress import track

from geoflow_datasets import layouts, mesh_parts, queries, universe, warps
from geoflow_datasets.bank import CARD, ShapeBank, cache_folder
from geoflow_datasets.bank_writer import write_bank
from geoflow_datasets.digest import digest_of_sources
from geoflow_datasets.request import Request
from geoflow_datasets.universe import plans
from geoflow_datasets.workers import map_in_processes

_CHUNK = 8


def check(request: Request) -> tuple[str, ...]:
    """The categories' names.

    Raises:
        ValueError: for an unknown category, or fewer shapes than categories.
    """
    known = universe.known_categories(request.category)
    if request.num is not None and request.num < len(known):
        raise ValueError(
            f"num must be at least {len(known)}, one shape a category, got {request.num}"
        )
    return known


def load(request: Request) -> ShapeBank:
    """The first shapes of a split, in turn over the categories.

    Raises:
        ValueError: for an unknown category or split, or a number below 1.
    """
    return load_universe(
        universe.known_categories(request.category),
        split=request.split,
        num=0 if request.num is None else request.num,
        cache=request.cache,
        show_progress=request.show_progress,
    )


def load_universe(
    categories: tuple[str, ...],
    *,
    split: str,
    num: int,
    num_surface: int = 2048,
    num_queries: int = 4096,
    cache: Path | None = None,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> ShapeBank:
    """The first `num` shapes of a split, in turn over the categories.

    Raises:
        ValueError: for an unknown category or split, or num < 1.
        WorkersDiedError: if memory runs out.
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    if split not in layouts.SPLITS:
        raise ValueError(f"split must be one of {', '.join(layouts.SPLITS)}, got {split!r}")
    version = digest_of_sources(universe, plans, layouts, mesh_parts, queries, warps)
    key = f"{'-'.join(categories)}-{split}-{num}-{num_surface}-{num_queries}-{version}"
    # Another version of the booleans may round otherwise.
    key += f"-{metadata.version('manifold3d')}"
    folder = (cache or cache_folder()) / "universe" / key
    if (folder / CARD).is_file():
        return ShapeBank.load(folder)
    jobs = [(categories[i % len(categories)], i // len(categories)) for i in range(num)]
    make = partial(_make, split=split, num_surface=num_surface, num_queries=num_queries)
    workers = min(num_workers or os.cpu_count() or 1, max(num // _CHUNK, 1))
    made: Iterator[Mapping[str, np.ndarray]] = map_in_processes(make, jobs, workers, chunk=_CHUNK)
    write_bank(
        folder,
        track(made, total=num, description="shapes", disable=not show_progress),
        names=[f"{category}-{split}-{index}" for category, index in jobs],
        categories=[categories.index(category) for category, _ in jobs],
        category_names=categories,
    )
    return ShapeBank.load(folder)


def _make(
    job: tuple[str, int], *, split: str, num_surface: int, num_queries: int
) -> Mapping[str, np.ndarray]:
    category, index = job
    made = universe.make_samples(
        category, index, split=split, num_surface=num_surface, num_queries=num_queries
    )
    return {
        "surface": made.surface,
        "normals": made.normals,
        "queries": made.queries,
        "sdf": made.sdf,
    }
