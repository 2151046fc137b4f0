"""Banks of procedural figures, made once in parallel and cached by what they hold."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import track

from geoflow.geometry import box, outline, sdf
from geoflow_datasets import figures, layouts
from geoflow_datasets.bank import cache_folder
from geoflow_datasets.digest import digest_of_sources
from geoflow_datasets.figure_bank import FigureBank
from geoflow_datasets.request import Request, refuse_category
from geoflow_datasets.workers import map_in_processes

_CHUNK = 16


def check(request: Request) -> tuple[str, ...]:
    """Nothing: figures have no categories.

    Raises:
        ValueError: for a category.
    """
    refuse_category(request)
    return ()


def load(request: Request) -> FigureBank:
    """The first figures of a split, in turn over the kinds.

    Raises:
        ValueError: for a category, an unknown split, or a number below 1.
    """
    check(request)
    return load_procedural_figures(
        split=request.split,
        num=0 if request.num is None else request.num,
        cache=request.cache,
        show_progress=request.show_progress,
    )


def load_procedural_figures(
    *,
    split: str,
    num: int,
    num_surface: int = 1024,
    cache: Path | None = None,
    show_progress: bool = False,
) -> FigureBank:
    """The first `num` figures of a split, in turn over the kinds.

    Raises:
        ValueError: for an unknown split, or num < 1.
        WorkersDiedError: if memory runs out.
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    kinds = list(figures.FIGURES)
    figures.make_figure(kinds[0], 0, split=split)
    # The sources' digest is part of the key: an edited figure never meets its old shapes.
    version = digest_of_sources(figures, sdf, outline, box, layouts)
    name = f"{split}-{num}-{num_surface}-{version}.npz"
    path = (cache or cache_folder()) / "figures" / name
    if path.is_file():
        return FigureBank.load(path)
    jobs = [(kinds[i % len(kinds)], i // len(kinds)) for i in range(num)]
    make = partial(_make, split=split, num=num_surface)
    workers = min(os.cpu_count() or 1, max(num // _CHUNK, 1))
    results = map_in_processes(make, jobs, workers, chunk=_CHUNK)
    made = list(track(results, total=num, description="figures", disable=not show_progress))
    names = [f"{kind}-{split}-{index}" for kind, index in jobs]
    bank = FigureBank.of(
        [s for s, _, _ in made], [j for _, j, _ in made], [p for *_, p in made], names
    )
    bank.save(path)
    return FigureBank.load(path)


def _make(
    job: tuple[str, int], *, split: str, num: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    kind, index = job
    figure = figures.make_figure(kind, index, split=split)
    surface = figures.make_surface(kind, index, split=split, num=num)
    return surface, figure.joints, figure.parents
