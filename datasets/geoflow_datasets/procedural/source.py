"""Banks of procedural shapes, made once in parallel and cached by what they hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import track

from geoflow.geometry import box, sdf
from geoflow_datasets import layouts, procedural, queries
from geoflow_datasets.bank import ShapeBank, cache_folder
from geoflow_datasets.digest import digest_of_sources
from geoflow_datasets.request import Request
from geoflow_datasets.workers import map_in_processes

_CHUNK = 16


def check(request: Request) -> tuple[str, ...]:
    """The categories' names.

    Raises:
        ValueError: for an unknown category, or fewer shapes than categories.
    """
    known = procedural.known_categories(request.category)
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
    return load_procedural(
        procedural.known_categories(request.category),
        split=request.split,
        num=0 if request.num is None else request.num,
        cache=request.cache,
        show_progress=request.show_progress,
    )


def load_procedural(
    categories: Sequence[str],
    *,
    split: str,
    num: int,
    num_surface: int = 2048,
    num_queries: int = 4096,
    cache: Path | None = None,
    show_progress: bool = False,
) -> ShapeBank:
    """The first `num` shapes of a split, in turn over the categories.

    Raises:
        ValueError: for an unknown category or split, or num < 1.
        WorkersDiedError: if memory runs out.
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    names = tuple(categories)
    for name in names:
        procedural.make_solids(name, 0, split=split)
    # The sources' digest is part of the key: an edited category never meets its old shapes.
    version = digest_of_sources(procedural, sdf, box, queries, layouts)
    key = f"{'-'.join(names)}-{split}-{num}-{num_surface}-{num_queries}-{version}"
    folder = (cache or cache_folder()) / "procedural" / key
    if (folder / "bank.json").is_file():
        return ShapeBank.load(folder)
    jobs = [(names[i % len(names)], i // len(names)) for i in range(num)]
    make = partial(_make, split=split, num_surface=num_surface, num_queries=num_queries)
    workers = min(os.cpu_count() or 1, max(num // _CHUNK, 1))
    made = map_in_processes(make, jobs, workers, chunk=_CHUNK)
    samples = list(
        track(made, total=num, description="procedural shapes", disable=not show_progress)
    )
    bank = ShapeBank(
        surface=np.stack([s.surface for s in samples]),
        normals=np.stack([s.normals for s in samples]),
        queries=np.stack([s.queries for s in samples]),
        sdf=np.stack([s.sdf for s in samples]),
        categories=np.array([names.index(category) for category, _ in jobs]),
        names=tuple(f"{category}-{split}-{index}" for category, index in jobs),
        category_names=names,
    )
    bank.save(folder)
    return ShapeBank.load(folder)


def _make(
    job: tuple[str, int], *, split: str, num_surface: int, num_queries: int
) -> procedural.Samples:
    category, index = job
    return procedural.make_samples(
        category, index, split=split, num_surface=num_surface, num_queries=num_queries
    )
