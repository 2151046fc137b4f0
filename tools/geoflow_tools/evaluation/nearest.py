"""Who is nearest to whom by exact EMD, from the few pairs that can be of nearest neighbours.

1-NNA asks for each shape's nearest other one, coverage for each sample's nearest reference, MMD
for each reference's nearest sample. A pair whose EMD is known to be larger than that of the nearest
that either of its shapes has so far is none of these, so that it needs no solving. Bounds are
those of `geoflow.geometry.metrics.emd`; pairs come in the order of the cheap ones, so that the
nearest are found first. All three scores are those of all pairs, to the bit.

What is found out is written as it comes, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from geoflow.arrays import load_npy
from geoflow.atomic import reading, write_bytes
from geoflow.geometry.metrics.emd import (
    distances_between,
    dual_bound,
    lipschitz_values,
    transport,
)

Clouds = Float[np.ndarray, "_ p 3"]
SHARE = 0.2
"""Of all pairs, about how many are solved, or cost as much to leave out (docs/metrics.md)."""
# Candidates that are solved first, of each shape and of each set.
_FIRST = 3
# Potentials that a bound is made of, on each side; those kept of a shape.
_TRIED, _KEPT = 4, 64
# Distances are known to so many digits.
_RELATIVE, _SINGLE = 1e-9, 1e-6
# Tasks of a process between two looks at what is nearest; answers of a file.
_AT_ONCE, _OF_A_FILE = 8, 256
# Distances times squared points: less than these, some seconds, are not worth a process's start.
_WORK_PER_PROCESS = 100_000_000


class Task(NamedTuple):
    """A pair that may be of nearest neighbours."""

    i: int
    j: int
    above: float
    """Farther apart than this they are not."""
    potentials: tuple[tuple[bool, np.ndarray], ...]
    """Whether they are of j's points, and they."""


class Answer(NamedTuple):
    """The EMD of a pair, or that it is too large."""

    i: int
    j: int
    value: float
    """EMD, or what it is at least."""
    potentials: tuple[np.ndarray, np.ndarray] | None
    """Of i's and j's points, where the pair was solved."""


def decide(clouds: Clouds, task: Task) -> Answer:
    """Solve a pair, unless a bound says that it is not needed."""
    distance, bound = distances_between(clouds[task.i], clouds[task.j]), 0.0
    for is_second, potentials in task.potentials:
        found = dual_bound(distance.T if is_second else distance, potentials)
        bound = max(bound, found * (1 - _RELATIVE))
    if bound > task.above:
        return Answer(task.i, task.j, bound, None)
    solved = transport(distance)
    return Answer(task.i, task.j, solved.cost, (solved.first, solved.second))


class NearestByEmd:
    """The search between two sets, in a folder.

    Args:
        folder: of the files of answers; created if missing.
        samples: points of one set.
        reference: points of the other, as many of each shape.
        workers: processes. Default: as many as there are cores and work for them.

    Raises:
        DamagedError: if a file is damaged.
    """

    def __init__(
        self, folder: Path, samples: Clouds, reference: Clouds, *, workers: int | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.num_samples = folder, len(samples)
        self.clouds = np.concatenate([samples, reference]).astype(np.float64)
        num = len(self.clouds)
        self.total = num * (num - 1) // 2
        """Pairs."""
        self.value = np.full((num, num), np.nan)
        """EMD of the pairs that are solved."""
        self.bound = _bounds(self.clouds)
        """What it is at least; infinite for a shape with itself."""
        if workers is None:
            work = SHARE * self.total * self.clouds.shape[1] ** 2
            workers = max(min(os.cpu_count() or 1, int(work // _WORK_PER_PROCESS)), 1)
        self.workers = workers
        self._is_sample = np.arange(num) < self.num_samples
        # By shape: the nearest known, among the others of all, and of the other set.
        self._nearest = np.full((num, 2), np.inf)
        self._potentials: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)
        self._new: list[tuple[int, int, float, bool]] = []
        for path in sorted(folder.glob("emd-[0-9]*.npy")):
            for i, j, value, is_solved in _load(path, num):
                self._note(int(i), int(j), float(value), is_solved=bool(is_solved))

    def run(self) -> Iterator[int]:
        """Search; yields numbers of pairs that are decided, as many as there are in all."""
        decided = np.zeros(self.value.shape, dtype=bool)
        done = 0
        with self._pool() as compute:
            for tasks in self._rounds():
                for answer in compute(tasks):
                    self._take(answer)
                if len(self._new) >= _OF_A_FILE:
                    self._write()
                count = self._decided(decided)
                yield count - done
                done = count
            self._write()
        yield self.total - done

    def matrices(self) -> dict[str, Float[np.ndarray, "r n"]]:
        """Samples, reference and between, for scores of nearest neighbours, once `run` is over.

        A pair that was not solved has what its EMD is at least, which is above the nearest.
        """
        known = np.where(np.isnan(self.value), self.bound, self.value)
        np.fill_diagonal(known, 0.0)
        m = self.num_samples
        return {"samples": known[:m, :m], "reference": known[m:, m:], "between": known[:m, m:]}

    def _rounds(self) -> Iterator[list[Task]]:
        """Tasks that can be done at once: first those of each shape's likeliest, then the rest."""
        size = _AT_ONCE * self.workers
        waiting: list[Task] = []
        for i, j in self._in_order():
            if np.isnan(self.value[i, j]) and self.bound[i, j] <= self._above(i, j):
                waiting.append(self._task(i, j))
            if len(waiting) == size:
                yield waiting
                waiting = []
        yield waiting

    def _in_order(self) -> Iterator[tuple[int, int]]:
        seen: set[tuple[int, int]] = set()
        for i, row in enumerate(self.bound):
            for side in (self._is_sample, ~self._is_sample):
                (others,) = np.nonzero(side & (np.arange(len(row)) != i))
                for j in others[np.argsort(row[others])[:_FIRST]]:
                    seen.add((min(i, int(j)), max(i, int(j))))
        yield from sorted(seen, key=lambda pair: self.bound[pair])
        first, second = np.triu_indices(len(self.bound), 1)
        for at in np.argsort(self.bound[first, second], kind="stable"):
            pair = int(first[at]), int(second[at])
            if pair not in seen:
                yield pair

    def _above(self, i: int, j: int) -> float:
        """From where on the pair is nearest neither to i nor to j, in what is asked of them."""
        column = int(self._is_sample[i] != self._is_sample[j])
        return max(self._nearest[i, column], self._nearest[j, column]) * (1 + _RELATIVE)

    def _task(self, i: int, j: int) -> Task:
        chosen = []
        for this, other, is_second in ((i, j, False), (j, i, True)):
            # Of pairs with shapes that are like the other one.
            kept = sorted(self._potentials[this], key=lambda held: self.bound[held[0], other])
            chosen += [(is_second, potentials) for _, potentials in kept[:_TRIED]]
        return Task(i, j, self._above(i, j), tuple(chosen))

    def _take(self, answer: Answer) -> None:
        i, j, value, potentials = answer
        self._note(i, j, value, is_solved=potentials is not None)
        self._new.append((i, j, value, potentials is not None))
        if potentials is None:
            return
        for this, other, found in ((i, j, potentials[0]), (j, i, potentials[1])):
            kept = self._potentials[this]
            kept.append((other, found.astype(np.float32)))
            del kept[:-_KEPT]

    def _note(self, i: int, j: int, value: float, *, is_solved: bool) -> None:
        if not is_solved:
            self.bound[i, j] = self.bound[j, i] = max(self.bound[i, j], value)
            return
        self.value[i, j] = self.value[j, i] = value
        crossing = self._is_sample[i] != self._is_sample[j]
        for this in (i, j):
            self._nearest[this, 0] = min(self._nearest[this, 0], value)
            if crossing:
                self._nearest[this, 1] = min(self._nearest[this, 1], value)

    def _decided(self, decided: Bool[np.ndarray, "n n"]) -> int:
        """How many pairs are solved, or known to be too far apart."""
        crossing = self._is_sample[:, None] != self._is_sample
        nearest = np.where(crossing, self._nearest[:, None, 1], self._nearest[:, None, 0])
        above = np.maximum(nearest, nearest.T) * (1 + _RELATIVE)
        decided |= ~np.isnan(self.value) | (self.bound > above)
        return int(np.triu(decided, 1).sum())

    def _write(self) -> None:
        if self._new:
            buffer = io.BytesIO()
            np.save(buffer, np.array(self._new, dtype=np.float64))
            number = len(list(self.folder.glob("emd-[0-9]*.npy")))
            write_bytes(self.folder / f"emd-{number:05d}.npy", buffer.getvalue())
            self._new = []

    @contextmanager
    def _pool(self) -> Iterator[Callable[[list[Task]], Iterable[Answer]]]:
        """What does tasks: POT holds the interpreter's lock, so that many want processes."""
        pool: Executor
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(
                self.workers, mp_context=context, initializer=_hold, initargs=(self.clouds,)
            )
            work: Callable[[Task], Answer] = _decide_held
        else:
            pool = ThreadPoolExecutor(1)

            def work(task: Task) -> Answer:
                return decide(self.clouds, task)

        with pool:
            try:
                yield lambda tasks: pool.map(work, tasks)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _bounds(clouds: Clouds) -> Float[np.ndarray, "n n"]:
    """What the EMD of each pair is at least, by functions of the points; infinite with itself."""
    bound = np.zeros((len(clouds), len(clouds)))
    for values in lipschitz_values(clouds):
        slack = _SINGLE * np.abs(values).max()
        for i, row in enumerate(values[:-1]):
            found = np.abs(values[i + 1 :] - row).mean(1) - slack
            np.maximum(bound[i, i + 1 :], found, out=bound[i, i + 1 :])
    bound = np.maximum(bound, bound.T)
    np.fill_diagonal(bound, np.inf)
    return bound


def _load(path: Path, num: int) -> Float[np.ndarray, "k 4"]:
    """Answers, a row each: two shapes, the distance, and whether it was solved.

    Raises:
        DamagedError: if they are none, or not of so many shapes.
    """
    with reading(path), path.open("rb") as file:
        rows = load_npy(file, path.stat().st_size)
        if rows.ndim != 2 or rows.shape[1] != 4 or not np.isfinite(rows).all():
            raise ValueError(f"answers have shape {rows.shape}, expected (k, 4), finite")
        places: Int[np.ndarray, "k 2"] = rows[:, :2].astype(int)
        if (places != rows[:, :2]).any() or places.min() < 0 or places.max() >= num:
            raise ValueError(f"answers must be of shapes 0 to {num - 1}")
        return rows


_held: list[np.ndarray] = []


def _hold(clouds: Clouds) -> None:
    """What a process keeps between tasks; an interruption is its parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _held[:] = [clouds]


def _decide_held(task: Task) -> Answer:
    return decide(_held[0], task)
