"""Work over many shapes in processes, results in the order of the jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from loky import ProcessPoolExecutor

# Parts that a process may be ahead of who takes the results: those that wait are in memory.
_AHEAD = 64

ONE_CORE = {"OMP_NUM_THREADS": "1", "IGL_NUM_THREADS": "1"}
"""Environment of a worker, winding numbers included: its threads would wait for those of others."""

J = TypeVar("J")
R = TypeVar("R")


class WorkersDiedError(RuntimeError):
    """Worker processes ended before their work was done."""


def map_in_processes(
    work: Callable[[J], R], jobs: Sequence[J], workers: int, *, chunk: int = 1
) -> Generator[R, None, None]:
    """Results of the jobs in their order; one worker is this process.

    Workers are started anew, not forked, and do not import the script: it needs no main guard.

    Args:
        work: a function that can be pickled.
        jobs: its arguments.
        workers: processes.
        chunk: jobs that a process takes at once.

    Raises:
        WorkersDiedError: if a process ends early.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    pool, is_done = ProcessPoolExecutor(workers, env=ONE_CORE), False
    try:
        # Not the pool's own `map`, which cancels what it gave out, and then cannot be shut down.
        parts = (jobs[first : first + chunk] for first in range(0, len(jobs), chunk))
        waiting = deque(pool.submit(_done, work, part) for part in islice(parts, _AHEAD * workers))
        while waiting:
            results = waiting.popleft().result()
            waiting.extend(pool.submit(_done, work, part) for part in islice(parts, 1))
            yield from results
        is_done = True
    except BrokenProcessPool:
        raise WorkersDiedError(
            "a worker process died: memory may have run out; close other programs or use fewer "
            "shapes"
        ) from None
    finally:
        # Who goes early, at Ctrl-C too, wants nothing of what runs, which may take minutes.
        pool.shutdown(wait=True, kill_workers=not is_done)


def _done(work: Callable[[J], R], jobs: Sequence[J]) -> list[R]:
    return [work(job) for job in jobs]
