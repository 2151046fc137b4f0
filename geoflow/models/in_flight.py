"""Several samples in flight on several cores, each on one: small products split badly."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from geoflow.models.latent import Check

T = TypeVar("T")


class _Stopped(Exception):
    """Ends work whose result nobody takes."""


def in_order(make: Callable[[int, Check], T], num: int, *, workers: int) -> Iterator[T]:
    """make(0, check), make(1, check), ... in order; as many are in flight as there are workers.

    Products of torch use one thread in each worker; the number is restored at the end. Closing the
    iterator, or an error, stops what is in flight at its next check.

    Args:
        make: a sample by its number; it calls `check` between chunks of work.
        num: samples.
        workers: threads; with one, the samples are made where they are asked for.
    """
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise _Stopped

    if workers <= 1:
        yield from (make(i, check) for i in range(num))
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[Future[T]] = deque()
    try:
        for i in range(num):
            waiting.append(pool.submit(make, i, check))
            if len(waiting) == workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
