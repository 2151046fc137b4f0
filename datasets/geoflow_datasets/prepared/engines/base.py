"""What all engines share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from geoflow_datasets.prepared.limited import Limits, Refusal

J = TypeVar("J")
R = TypeVar("R")


@runtime_checkable
class Engine(Protocol[J, R]):
    """Whoever does jobs."""

    def __call__(self, jobs: Iterable[J], /) -> Iterator[list[tuple[J, R | Refusal]]]:
        """Results as they come, those that are ready together in a list.

        A job is taken from `jobs` when there is room for it. Nothing is left running when the
        iterator is closed.
        """
        ...


@dataclass(frozen=True)
class Crew:
    """Whom an engine has."""

    limits: Limits = field(default_factory=Limits)
    """Of one job."""
    workers: int | None = None
    """Jobs at once. Default: one per core that the engine finds."""
    address: str | None = None
    """Of a cluster, for the engines that have one."""
