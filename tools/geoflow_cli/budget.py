"""What a large request costs, said or refused before most of it is done."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from geoflow_cli.errors import Failure

T = TypeVar("T")

# Work that takes longer, or fills more, is said before it goes on.
_SECONDS, _BYTES = 60.0, 1e9


def check_disk(path: Path, needed: float) -> None:
    """Raise Failure where a file, or files beside it, do not fit the disk."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise Failure(
            f"{path} needs about {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free there"
        )


def foreseen(paths: list[Path], made: Iterable[T]) -> Iterator[T]:
    """What is made, a file each; after the first, what the others will take.

    Raises:
        Failure: if the others do not fit the disk.
    """
    start = time.perf_counter()
    for i, each in enumerate(made):
        if i == 0 and len(paths) > 1:
            _tell(paths, time.perf_counter() - start)
        yield each


def _tell(paths: list[Path], seconds: float) -> None:
    left = len(paths) - 1
    size = paths[0].stat().st_size if paths[0].is_file() else 0
    check_disk(paths[0], left * size)
    if left * seconds > _SECONDS or left * size > _BYTES:
        print(
            f"geoflow: {left:,} more will take about {_duration(left * seconds)} "
            f"and {left * size / 1e9:,.2f} GB",
            file=sys.stderr,
        )


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
