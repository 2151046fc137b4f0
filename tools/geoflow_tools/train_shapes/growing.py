"""Shapes that are made while others are trained on: arrays on disk, filled by processes.

Jobs are done in the order of the time at which they are wanted; a row is drawn once it is ready.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.read_mesh import MeshError
from geoflow_datasets import procedural, universe
from geoflow_datasets.augment import deformed
from geoflow_datasets.digest import seed_of
from geoflow_datasets.mesh_folder import MeshOptions, measure
from geoflow_tools.train_shapes.packed import PackedMeshes

Source = Literal["procedural", "universe", "mesh"]
_TRIES = 3
# Beside the training and its loaders.
_NICE = 5
# Cores that the training has for itself, where there are twice as many others.
_OWN = 4


@dataclass(frozen=True)
class Job:
    """One shape to make.

    Attributes:
        source: what makes it.
        name: its category, or the mesh's name.
        index: of the shape; of a mesh, 0 is itself, others are deformed copies.
        when: share of the time after which it is wanted.
    """

    source: Source
    name: str
    index: int
    when: float

    @property
    def category(self) -> str:
        """Name of its category."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class GrowingBank:
    """Rows of shapes with fields; every process that is forked from this one shares them.

    Attributes:
        folder: of the arrays.
        jobs: one a row.
        num_surface: surface points of a row.
        num_queries: its queries.
    """

    folder: Path
    jobs: tuple[Job, ...]
    num_surface: int
    num_queries: int

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Surface, normals, queries and distances, and which rows are ready."""
        n, s, q = len(self.jobs), self.num_surface, self.num_queries
        shapes = {"surface": (n, s, 3), "normals": (n, s, 3), "queries": (n, q, 3), "sdf": (n, q)}
        self.folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, np.ndarray] = {
            name: np.memmap(self.folder / name, np.float16, "w+", shape=shape)
            for name, shape in shapes.items()
        }
        found["ready"] = np.memmap(self.folder / "ready", np.bool_, "w+", shape=(n,))
        return found

    @property
    def ready(self) -> np.ndarray:
        """Which rows are ready now, (n,)."""
        return np.array(self.arrays["ready"])

    def where(self, test: Any) -> np.ndarray:
        """Of a test of jobs, which rows pass, (n,)."""
        return np.array([bool(test(job)) for job in self.jobs])

    def put(self, row: int, samples: dict[str, np.ndarray]) -> None:
        """Fill a row."""
        for name, values in samples.items():
            self.arrays[name][row] = values
        self.arrays["ready"][row] = True

    def take(
        self, rows: np.ndarray, num_surface: int, num_queries: int, rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """Random points of rows, in single precision."""
        near = rng.integers(self.num_surface, size=(len(rows), num_surface))
        far = rng.integers(self.num_queries, size=(len(rows), num_queries))
        columns = {"surface": near, "normals": near, "queries": far, "sdf": far}
        return {
            name: torch.from_numpy(
                np.asarray(self.arrays[name][rows[:, None], index], dtype=np.float32)
            )
            for name, index in columns.items()
        }


class Makers:
    """Processes that fill banks; start them before anything touches the device.

    Attributes:
        meshes: that jobs name.
        banks: to fill.
    """

    def __init__(self, banks: tuple[GrowingBank, ...], meshes: PackedMeshes, num: int) -> None:
        self.banks, self.meshes = banks, meshes
        for bank in banks:
            bank.arrays  # noqa: B018  (made before the processes are)
        self._order = sorted(
            ((b, row) for b, bank in enumerate(banks) for row in range(len(bank.jobs))),
            key=lambda place: banks[place[0]].jobs[place[1]].when,
        )
        context = multiprocessing.get_context("fork")
        self._next = context.Value("q", 0)
        self._failed = context.Value("q", 0)
        self._processes = [context.Process(target=self._work, daemon=True) for _ in range(num)]
        for process in self._processes:
            process.start()

    @property
    def num_made(self) -> int:
        """Rows that are ready."""
        return sum(int(bank.ready.sum()) for bank in self.banks)

    @property
    def num_failed(self) -> int:
        """Shapes that could not be made, whose rows stay empty."""
        return int(self._failed.value)

    @property
    def have_ended(self) -> bool:
        """Whether nobody makes anything any more."""
        return not any(process.is_alive() for process in self._processes)

    def stop(self) -> None:
        """End the processes, whatever is left to do."""
        for process in self._processes:
            process.terminate()

    def _places(self) -> Iterator[tuple[int, int]]:
        while True:
            with self._next.get_lock():
                number = self._next.value
                self._next.value += 1
            if number >= len(self._order):
                return
            yield self._order[number]

    def _work(self) -> None:
        step_aside()
        os.nice(_NICE)
        for place, row in self._places():
            bank = self.banks[place]
            try:
                bank.put(row, make(bank.jobs[row], bank, self.meshes))
            except (MeshError, RuntimeError, ValueError):
                with self._failed.get_lock():
                    self._failed.value += 1


def step_aside(worker: int = 0) -> None:
    """Leave the first cores to the process that launches the device's work."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) >= 3 * _OWN:
        os.sched_setaffinity(0, cores[_OWN:])


def make(job: Job, bank: GrowingBank, meshes: PackedMeshes) -> dict[str, np.ndarray]:
    """The arrays of a shape.

    Raises:
        MeshError: for a mesh that cannot be signed, or no deformed copy of it.
    """
    num_surface, num_queries = bank.num_surface, bank.num_queries
    source: Any
    if job.source == "procedural":
        source = procedural
    elif job.source == "universe":
        source = universe
    else:
        return _measured(job, meshes, MeshOptions(num_surface=num_surface, num_queries=num_queries))
    made = source.make_samples(
        job.name, job.index, split="train", num_surface=num_surface, num_queries=num_queries
    )
    return dict(vars(made))


def _measured(job: Job, meshes: PackedMeshes, options: MeshOptions) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed_of(f"{job.name}#{job.index}"))
    mesh = normalise_mesh(meshes.mesh(job.name))
    for last in range(_TRIES)[::-1]:
        try:
            asked = deformed(mesh, rng) if job.index else mesh
            return dict(measure(asked, options, rng)[1])
        except MeshError:
            if last == 0:
                raise
    raise AssertionError("the last try returns or raises")
