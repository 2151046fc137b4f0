"""The machines of a Ray cluster, each with the limited processes of `limited`.

A Ray task does one job in a process of its own, which Ray's worker keeps for its next task: limits,
and the reasons of what is refused, are those of one machine. Files are read, and shapes written,
by the process that runs the preparation; workers need the package, and no disk that is shared.
A job whose worker or machine is lost is done again by another, and nothing else is.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Generic

import geoflow
from geoflow_datasets.prepared.engines.base import Crew, Engine, J, R
from geoflow_datasets.prepared.limited import Pool, Refusal
from geoflow_datasets.workers import WorkersDiedError

RETRIES = 3
"""How often a job is done again whose worker was lost."""
# Seconds between looks at what is ready, and at how large the cluster is.
_LOOK = 1.0
# Seconds in which a cluster must answer.
_PATIENCE = 10.0
# Jobs at hand for each core: the second one waits where the first one ends.
_PER_CORE = 2


def ray_engine(work: Callable[[J], R], crew: Crew, *, retries: int = RETRIES) -> Engine[J, R]:
    """A Ray cluster: that of the address, or of $RAY_ADDRESS, or of this machine, or a new one.

    Args:
        work: a function that workers can import; it raises nothing.
        crew: without a number of workers, all cores that the cluster has at a time.
        retries: how often a job is done again whose worker was lost.

    Raises:
        ImportError: without ray.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError("--engine ray needs ray: pip install 'geoflow[ray]'") from error
    return _Cluster(ray, work, crew, retries).run


@dataclass(frozen=True)
class _Cluster(Generic[J, R]):
    ray: ModuleType
    work: Callable[[J], R]
    crew: Crew
    retries: int

    def run(self, jobs: Iterable[J], /) -> Iterator[list[tuple[J, R | Refusal]]]:
        """Results as they come.

        Raises:
            ConnectionError: if no cluster answers at the address.
            WorkersDiedError: if workers cannot do such work at all.
        """
        source, flying = iter(jobs), dict[Any, J]()
        with _connected(self.ray, self.crew.address):
            task = self.ray.remote(_do).options(num_cpus=1, max_retries=self.retries)
            try:
                while self._fill(source, flying, task):
                    # What is ready together is written together.
                    self.ray.wait(list(flying), timeout=_LOOK)
                    ready, _ = self.ray.wait(list(flying), num_returns=len(flying), timeout=0)
                    if ready:
                        yield [(flying.pop(place), self._result(place)) for place in ready]
            finally:
                for place in flying:
                    self.ray.cancel(place, force=True)

    def _fill(self, source: Iterator[J], flying: dict[Any, J], task: Any) -> bool:
        """Give out jobs while there is room; whether any is given out."""
        room = self._room() - len(flying)
        for _ in range(room):
            job = next(source, None)
            if job is None:
                break
            place = task.remote(self.work, self.crew.limits, geoflow.__version__, job)
            flying[place] = job
        return bool(flying)

    def _room(self) -> int:
        """Jobs to be at hand; machines may come and go."""
        if self.crew.workers is not None:
            return self.crew.workers
        return _PER_CORE * max(1, int(self.ray.cluster_resources().get("CPU", 0)))

    def _result(self, place: Any) -> R | Refusal:
        try:
            return self.ray.get(place)
        except self.ray.exceptions.RayTaskError as error:
            raise WorkersDiedError(f"Ray's workers cannot do the work: {_last(error)}") from error
        except self.ray.exceptions.RayError as error:
            lost = f"its worker was lost {self.retries + 1} times: {_last(error)}"
            return Refusal(lost, by_limit=False, is_lost=True)


@contextmanager
def _connected(ray: ModuleType, address: str | None) -> Iterator[None]:
    """Be in a cluster; one that this process was in already stays."""
    if ray.is_initialized():
        yield
        return
    # Nothing is reported to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    where = address or os.environ.get("RAY_ADDRESS") or "this machine"
    try:
        _check_answers(where)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionError(f"no Ray cluster answers at {where}: {_last(error)}") from error
    try:
        yield
    finally:
        with suppress(ConnectionError):
            ray.shutdown()


def _check_answers(where: str) -> None:
    """OSError if nobody listens at HOST:PORT; Ray would try for ten minutes."""
    host, _, port = where.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _last(error: BaseException) -> str:
    """The last line of an error, which says what it is."""
    return ([line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason"])[-1]


@lru_cache(maxsize=1)
def _kept(work: Callable[[J], R], limits: Any) -> Pool[J, R]:
    """The limited process of this worker, kept for its next tasks."""
    return Pool(work, 1, limits)


def _do(work: Callable[[J], R], limits: Any, version: str, job: J) -> R | Refusal:
    """What a worker does."""
    if version != geoflow.__version__:
        raise ValueError(
            f"{platform.node()} has geoflow {geoflow.__version__}, this machine {version}: "
            "install the same on all"
        )
    return _kept(work, limits).do(job)
