"""Matrices of distances within and between two sets, in blocks of rows that are files.

A block that is there is not computed again, so that an interrupted run goes on where it stopped.
Chamfer distances run in threads, since queries of k-d trees release the interpreter's lock; POT
holds it, so that EMD runs in processes.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from geoflow.arrays import load_npy
from geoflow.atomic import reading, write_bytes
from geoflow.geometry.metrics.chamfer import chamfer_of_trees, point_tree
from geoflow.geometry.metrics.emd import earth_movers_distance

Clouds = Float[np.ndarray, "_ p 3"]
MATRICES = {"samples": ("samples", "samples"), "reference": ("reference", "reference"),
            "between": ("samples", "reference")}  # fmt: skip
"""Rows and columns of the three matrices that scores of sets need."""
# Distances times squared points: less than these, some seconds, are not worth a process's start.
_WORK_PER_PROCESS = 100_000_000


@dataclass(frozen=True)
class Kind:
    """A family of distances that one computation gives."""

    names: tuple[str, ...]
    """Keys of METRICS, one for each number of a pair."""
    prepare: Callable[[np.ndarray], Any]
    """What is made of a cloud once."""
    measure: Callable[[Any, Any], tuple[float, ...]]
    """The numbers of a pair."""
    in_processes: bool
    rows: int
    """Rows of a block: some seconds of work, which is what an interruption loses."""


def _as_it_is(points: np.ndarray) -> np.ndarray:
    return points


def _emd(a: np.ndarray, b: np.ndarray) -> tuple[float]:
    return (earth_movers_distance(a, b),)


KINDS = {
    "chamfer": Kind(("chamfer", "chamfer_squared"), point_tree, chamfer_of_trees, False, 4),
    "emd": Kind(("emd",), _as_it_is, _emd, True, 1),
}
"""The distances' computations."""


@dataclass(frozen=True)
class Block:
    """Rows first..last-1 of a matrix of a kind."""

    kind: str
    matrix: str
    first: int
    last: int
    columns: int

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.kind}-{self.matrix}-{self.first:05d}.npy"

    @property
    def pairs(self) -> int:
        """Number of distances in it: matrices within a set are computed above the diagonal."""
        return sum(self.columns - start for start in self.starts())

    def starts(self) -> list[int]:
        """The first column of each row."""
        within = len(set(MATRICES[self.matrix])) == 1
        return [i + 1 if within else 0 for i in range(self.first, self.last)]

    def compute(self, clouds: dict[str, list[Any]]) -> Float[np.ndarray, "k r n"]:
        """The numbers, from prepared clouds; zero where nothing is computed."""
        kind, (rows, columns) = KINDS[self.kind], MATRICES[self.matrix]
        values = np.zeros((len(kind.names), self.last - self.first, self.columns))
        for row, start in enumerate(self.starts()):
            a = clouds[rows][self.first + row]
            for j in range(start, self.columns):
                values[:, row, j] = kind.measure(a, clouds[columns][j])
        return values


def plan(kind: str, num_samples: int, num_reference: int) -> list[Block]:
    """All blocks of a kind."""
    sizes, height = {"samples": num_samples, "reference": num_reference}, KINDS[kind].rows
    return [
        Block(kind, matrix, first, min(first + height, sizes[rows]), sizes[columns])
        for matrix, (rows, columns) in MATRICES.items()
        for first in range(0, sizes[rows], height)
    ]


def missing(folder: Path, kind: str, num_samples: int, num_reference: int) -> list[Block]:
    """The blocks whose files are not there."""
    blocks = plan(kind, num_samples, num_reference)
    return [block for block in blocks if not (folder / block.file_name).is_file()]


def fill(
    folder: Path, kind: str, samples: Clouds, reference: Clouds, *, workers: int | None = None
) -> Iterator[int]:
    """Compute and write the blocks that are missing; yields the number of distances of each.

    Args:
        folder: of the blocks' files; created if missing.
        kind: key of KINDS.
        samples: points of one set.
        reference: points of the other.
        workers: threads or processes. Default: as many as there are cores and work for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    to_do = missing(folder, kind, len(samples), len(reference))
    clouds = {"samples": samples, "reference": reference}
    in_processes = KINDS[kind].in_processes
    if workers is None:
        workers = os.cpu_count() or 1
        if in_processes:
            work_left = sum(block.pairs for block in to_do) * samples.shape[1] ** 2
            workers = min(workers, work_left // _WORK_PER_PROCESS)
    if not to_do:
        return
    pool: Executor
    if in_processes and workers > 1:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_hold, initargs=(kind, clouds)
        )
        work: Callable[[Block], np.ndarray] = _compute_held
    else:
        prepared = _prepare(kind, clouds)
        pool = ThreadPoolExecutor(max(workers, 1))

        def work(block: Block) -> np.ndarray:
            return block.compute(prepared)

    with pool:
        try:
            futures = {pool.submit(work, block): block for block in to_do}
            for future in as_completed(futures):
                buffer = io.BytesIO()
                np.save(buffer, future.result())
                write_bytes(folder / futures[future].file_name, buffer.getvalue())
                yield futures[future].pairs
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def assemble(
    folder: Path, kind: str, num_samples: int, num_reference: int
) -> dict[str, dict[str, Float[np.ndarray, "r n"]]]:
    """The three matrices of each distance of a kind, from its blocks' files.

    Raises:
        DamagedError: if a file is damaged.
    """
    names = KINDS[kind].names
    matrices: dict[str, dict[str, np.ndarray]] = {name: {} for name in names}
    blocks = plan(kind, num_samples, num_reference)
    for matrix, (rows, columns) in MATRICES.items():
        parts = [_load(folder, block) for block in blocks if block.matrix == matrix]
        values = np.concatenate(parts, axis=1)
        if rows == columns:
            values = values + values.transpose(0, 2, 1)
        for name, value in zip(names, values, strict=True):
            matrices[name][matrix] = value
    return matrices


def _load(folder: Path, block: Block) -> Float[np.ndarray, "k r n"]:
    path = folder / block.file_name
    with reading(path), path.open("rb") as file:
        values = load_npy(file, path.stat().st_size)
        expected = (len(KINDS[block.kind].names), block.last - block.first, block.columns)
        if values.shape != expected or not np.isfinite(values).all():
            raise ValueError(f"distances have shape {values.shape}, expected {expected}, finite")
        return values


_held: dict[str, list[Any]] = {}


def _hold(kind: str, clouds: dict[str, Clouds]) -> None:
    """What a process keeps between blocks; an interruption is its parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _held.update(_prepare(kind, clouds))


def _compute_held(block: Block) -> np.ndarray:
    return block.compute(_held)


def _prepare(kind: str, clouds: dict[str, Clouds]) -> dict[str, list[Any]]:
    return {name: [KINDS[kind].prepare(points) for points in c] for name, c in clouds.items()}
