"""Work in processes of its own, each job within a time and a memory: what exceeds them is ended."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

import psutil
from loky.backend import get_context

from geoflow_datasets.workers import ONE_CORE

J = TypeVar("J")
R = TypeVar("R")
# Seconds between looks at what runs.
_LOOK = 0.1
_BEGUN = "begun"
"""What a process says of a job before it does it: its own start is not the job's time."""


@dataclass(frozen=True)
class Limits:
    """Of one job."""

    seconds: float = 120.0
    memory: float = 4e9
    """Resident bytes of its process, of which about 0.2 GB are libraries."""

    def __str__(self) -> str:
        return f"{self.seconds:g} s, {self.memory / 1e9:g} GB"


@dataclass(frozen=True)
class Refusal:
    """Why a job has no result."""

    reason: str
    by_limit: bool
    """Whether other limits may give one; else its process died."""
    is_lost: bool = False
    """Whether that was no fault of the job's: the next run tries it again."""


class _Worker:
    """A process that does one job after the other."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        context = get_context("loky")  # starts afresh, and needs no main guard
        ours, theirs = context.Pipe()
        self.connection: Connection = ours
        self.process = context.Process(
            target=_serve,
            args=(theirs, work, os.getpid()),
            env=ONE_CORE,
            daemon=True,
        )
        self.process.start()
        theirs.close()
        self.job: Any = None
        self.end = math.inf

    def give(self, job: Any) -> None:
        self.job, self.end = job, math.inf
        self.connection.send(job)

    def stop(self) -> None:
        with suppress(psutil.Error):
            psutil.Process(self.process.pid).kill()
        self.process.join()
        self.connection.close()

    def memory(self) -> int:
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0


class Pool(Generic[J, R]):
    """Processes for jobs that may hang, grow or crash.

    Args:
        work: a function that can be pickled; it raises nothing.
        workers: processes.
        limits: of a job.
    """

    def __init__(self, work: Callable[[J], R], workers: int, limits: Limits) -> None:
        self._work, self._num, self._limits = work, workers, limits
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def run(self, jobs: Iterable[J]) -> Iterator[list[tuple[J, R | Refusal]]]:
        """Results as they come, those that are ready at once together.

        A job is taken from `jobs` when a process is free for it. Nothing is left running when the
        iterator is closed.
        """
        source = iter(jobs)
        try:
            while self._fill(source):
                done = self._collect()
                if done:
                    yield done
        finally:
            for worker in (*self._idle, *self._busy):
                worker.stop()

    def do(self, job: J) -> R | Refusal:
        """The result of one job; its process is kept for the next one."""
        self._fill(iter([job]))
        while not (done := self._collect()):
            pass
        ((_, result),) = done
        return result

    def _fill(self, source: Iterator[J]) -> bool:
        """Give jobs to who is free; whether anything runs."""
        while len(self._busy) < self._num:
            job = next(source, None)
            if job is None:
                break
            worker = self._idle.pop() if self._idle else _Worker(self._work)
            worker.give(job)
            self._busy.append(worker)
        return bool(self._busy)

    def _collect(self) -> list[tuple[J, R | Refusal]]:
        ready = set(wait([worker.connection for worker in self._busy], timeout=_LOOK))
        done: list[tuple[J, R | Refusal]] = []
        for worker in list(self._busy):
            found = self._found(worker, is_ready=worker.connection in ready)
            if found is None:
                continue
            (result,) = found
            done.append((worker.job, result))
            self._busy.remove(worker)
            # What a job leaves behind must not count against the next one.
            if isinstance(result, Refusal) or worker.memory() > self._limits.memory / 2:
                worker.stop()
            else:
                self._idle.append(worker)
        return done

    def _found(self, worker: _Worker, *, is_ready: bool) -> tuple[R | Refusal] | None:
        """The result of what a process does; None while there is none."""
        if is_ready:
            try:
                said = worker.connection.recv()
                if said != _BEGUN:
                    return said
                worker.end = time.monotonic() + self._limits.seconds
            except (EOFError, OSError):
                worker.process.join()
                return (Refusal(f"its process ended with {worker.process.exitcode}", False),)
        if time.monotonic() > worker.end:
            return (Refusal(f"it takes more than {self._limits.seconds:g} s", True),)
        if worker.memory() > self._limits.memory:
            return (Refusal(f"it needs more than {self._limits.memory / 1e9:g} GB", True),)
        return None


def _serve(connection: Connection, work: Callable[[Any], Any], giver: int) -> None:
    # Ctrl-C is for the process that gives the work, and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(giver,), daemon=True).start()
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_BEGUN)
        connection.send((work(job),))


def _end_with(giver: int) -> None:
    """End this process when the one that gives it work was killed: a job may hang for ever."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(giver).wait()
    os._exit(1)
