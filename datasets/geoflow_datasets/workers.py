"""Work over many shapes in processes, results in the order of the jobs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")


class WorkersDiedError(RuntimeError):
    """Worker processes ended before their work was done."""


def map_in_processes(
    work: Callable[[J], R], jobs: Sequence[J], workers: int, *, chunk: int = 1
) -> Iterator[R]:
    """Results of the jobs in their order; one worker is this process.

    Args:
        work: a function that can be pickled.
        jobs: its arguments.
        workers: processes.
        chunk: jobs that a process takes at once.

    Raises:
        WorkersDiedError: if a process ends early, as in a script without a main guard, which every
            worker imports and runs again.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(work, jobs, chunksize=chunk)
    except BrokenProcessPool:
        raise WorkersDiedError(
            "a worker process died: in a script, this must be called under "
            '`if __name__ == "__main__":`, since every worker imports the script; '
            "otherwise memory may have run out"
        ) from None
    except RuntimeError as error:
        if "bootstrapping phase" not in str(error):
            raise
        # This is a script without a guard, run again in a worker; its parent has the message.
        raise SystemExit(1) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
