"""Matrices of distances within and between two sets, in blocks of rows that are files.

A block that is there is not computed again, so that an interrupted run goes on where it stopped.
They run in threads: queries of k-d trees release the interpreter's lock.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from geoflow.arrays import load_npy
from geoflow.atomic import reading, write_bytes
from geoflow.geometry.metrics.chamfer import chamfer_of_trees, point_tree

Clouds = Float[np.ndarray, "_ p 3"]
MATRICES = {"samples": ("samples", "samples"), "reference": ("reference", "reference"),
            "between": ("samples", "reference")}  # fmt: skip
"""Rows and columns of the three matrices that scores of sets need."""


@dataclass(frozen=True)
class Kind:
    """A family of distances that one computation gives."""

    names: tuple[str, ...]
    """Keys of METRICS, one for each number of a pair."""
    prepare: Callable[[np.ndarray], Any]
    """What is made of a cloud once."""
    measure: Callable[[Any, Any], tuple[float, ...]]
    """The numbers of a pair."""
    rows: int
    """Rows of a block: some seconds of work, which is what an interruption loses."""


KINDS = {
    "chamfer": Kind(("chamfer", "chamfer_squared"), point_tree, chamfer_of_trees, 4),
}
"""The computations of whole matrices; of exact EMD the nearest alone are found (nearest.py)."""


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
        workers: threads. Default: one per core.
    """
    folder.mkdir(parents=True, exist_ok=True)
    to_do = missing(folder, kind, len(samples), len(reference))
    prepare = KINDS[kind].prepare
    sets = {"samples": samples, "reference": reference}
    prepared = {name: [prepare(points) for points in clouds] for name, clouds in sets.items()}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        try:
            futures = {pool.submit(block.compute, prepared): block for block in to_do}
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
