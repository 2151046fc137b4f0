"""Banks of procedural shapes, made once in parallel and cached by what they hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

import geoflow_datasets.procedural as procedural
from geoflow_datasets.bank import ShapeBank, cache_folder
from geoflow_datasets.workers import map_in_processes

T = TypeVar("T")
_CHUNK = 16


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
        WorkersDiedError: in a script that has no main guard.
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    names = tuple(categories)
    for name in names:
        procedural.make_solids(name, 0, split=split)
    # The sources' digest is part of the key: an edited category never meets its old shapes.
    key = f"{'-'.join(names)}-{split}-{num}-{num_surface}-{num_queries}-{_sources_digest()}"
    folder = (cache or cache_folder()) / "procedural" / key
    if (folder / "bank.json").is_file():
        return ShapeBank.load(folder)
    jobs = [(names[i % len(names)], i // len(names)) for i in range(num)]
    make = partial(_make, split=split, num_surface=num_surface, num_queries=num_queries)
    workers = min(os.cpu_count() or 1, max(num // _CHUNK, 1))
    made = map_in_processes(make, jobs, workers, chunk=_CHUNK)
    samples = list(_track(made, len(jobs), show_progress))
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


def _sources_digest() -> str:
    from geoflow.geometry import sdf

    digest = hashlib.sha256(Path(sdf.__file__).read_bytes())
    for path in sorted(Path(procedural.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _track(items: Iterable[T], total: int, show: bool) -> Iterable[T]:
    if not show:
        return items
    from rich.progress import track

    return track(items, total=total, description="procedural shapes")
