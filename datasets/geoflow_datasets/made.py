"""Shapes made by seed: names of their categories, and banks made once in parallel and cached.

Shape i of a split is drawn from the seed sequence (stream, split, category, i): splits never share
a shape, and every shape can be made alone.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.progress import track

from geoflow_datasets.bank import CARD, ShapeBank, cache_folder
from geoflow_datasets.bank_writer import write_bank
from geoflow_datasets.layouts import ALL, SPLITS, category_names
from geoflow_datasets.request import Request
from geoflow_datasets.workers import map_in_processes

_CHUNK = 8


@dataclass(frozen=True)
class Samples:
    """Points of one shape: its surface, and signed distances around it."""

    surface: Float[np.ndarray, "s 3"]
    normals: Float[np.ndarray, "s 3"]
    queries: Float[np.ndarray, "q 3"]
    sdf: Float[np.ndarray, " q"]


@dataclass(frozen=True)
class Made:
    """What is made by seed, as a source of data."""

    name: str
    """Folder of the cache."""
    categories: Collection[str]
    make: Callable[..., Samples]
    """Of a category and an index, by split, num_surface and num_queries; a worker imports it."""
    version: Callable[[], str]
    """Part of the key: an edited category never meets its old shapes."""

    def names(self, text: str) -> tuple[str, ...]:
        """The categories in 'chair', in 'chair,airplane', or in 'all'.

        Raises:
            ValueError: for a category that is not there, or comes twice.
        """
        if text == ALL:
            return tuple(self.categories)
        names = category_names(text)
        unknown = [name for name in names if name not in self.categories]
        if unknown:
            raise ValueError(
                f"category must be of {', '.join(self.categories)}, or all; got {unknown[0]!r}"
            )
        return names

    def check(self, request: Request) -> tuple[str, ...]:
        """The categories' names.

        Raises:
            ValueError: for an unknown category, or fewer shapes than categories.
        """
        known = self.names(request.category)
        if request.num is not None and request.num < len(known):
            raise ValueError(
                f"num must be at least {len(known)}, one shape a category, got {request.num}"
            )
        return known

    def load(self, request: Request) -> ShapeBank:
        """The first shapes of a split, in turn over the categories.

        Raises:
            ValueError: for an unknown category or split, or a number below 1.
        """
        return self.bank(
            self.names(request.category),
            split=request.split,
            num=0 if request.num is None else request.num,
            cache=request.cache,
            show_progress=request.show_progress,
        )

    def bank(
        self,
        categories: Sequence[str],
        *,
        split: str,
        num: int,
        num_surface: int = 2048,
        num_queries: int = 4096,
        cache: Path | None = None,
        num_workers: int | None = None,
        show_progress: bool = False,
    ) -> ShapeBank:
        """The first `num` shapes of a split, in turn over the categories, in bounded memory.

        Args:
            categories: their names.
            split: "train", "val" or "test".
            num: number of shapes.
            num_surface: surface points of a shape.
            num_queries: its points with signed distances.
            cache: where banks are kept; default: $GEOFLOW_CACHE or ~/.cache/geoflow.
            num_workers: processes; default: one per core.
            show_progress: draw a progress bar.

        Raises:
            ValueError: for an unknown category or split, or num < 1.
            WorkersDiedError: if memory runs out.
        """
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        for category in categories:
            seed_sequence(category, 0, split, known=self.categories)
        key = f"{'-'.join(categories)}-{split}-{num}-{num_surface}-{num_queries}-{self.version()}"
        folder = (cache or cache_folder()) / self.name / key
        if (folder / CARD).is_file():
            return ShapeBank.load(folder)
        jobs = [(categories[i % len(categories)], i // len(categories)) for i in range(num)]
        work = partial(
            _arrays, make=self.make, split=split, num_surface=num_surface, num_queries=num_queries
        )
        workers = min(num_workers or os.cpu_count() or 1, max(num // _CHUNK, 1))
        made: Iterator[Mapping[str, np.ndarray]] = map_in_processes(
            work, jobs, workers, chunk=_CHUNK
        )
        write_bank(
            folder,
            track(made, total=num, description=f"{self.name} shapes", disable=not show_progress),
            names=[f"{category}-{split}-{index}" for category, index in jobs],
            categories=[list(categories).index(category) for category, _ in jobs],
            category_names=categories,
        )
        return ShapeBank.load(folder)


def seed_sequence(
    category: str, index: int, split: str, *, known: Collection[str], stream: Sequence[int] = ()
) -> list[int]:
    """Numbers that a generator of one shape starts from.

    Raises:
        ValueError: for an unknown category or split.
    """
    if category not in known:
        raise ValueError(f"category must be one of {', '.join(known)}, got {category!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    return [*stream, SPLITS.index(split), zlib.crc32(category.encode()), index]


def _arrays(
    job: tuple[str, int],
    *,
    make: Callable[..., Samples],
    split: str,
    num_surface: int,
    num_queries: int,
) -> Mapping[str, np.ndarray]:
    category, index = job
    made = make(category, index, split=split, num_surface=num_surface, num_queries=num_queries)
    return vars(made)
