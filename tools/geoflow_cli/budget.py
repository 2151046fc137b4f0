"""What a large request costs, said or refused before most of it is done."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from geoflow_cli.errors import Failure
from geoflow_cli.options import Faces

T = TypeVar("T")

# Work that takes longer, or fills more, is said before it goes on.
_SECONDS, _BYTES = 60.0, 1e9
# Parts of a tenth of a second or so, of work that is worth a rehearsal.
_PARTS = 300
PART_RESOLUTION = 64
# Evaluations of a flow in the time of such a mesh.
_STEPS = 100
# Bytes of a triangle with its share of the corners in the smallest formats; triangles of a mesh by
# the square of the resolution, simplified as by default and in full (chairs).
_TRIANGLE = 18
_CROSSED = (1.4, 3.5)


def check_disk(path: Path, needed: float) -> None:
    """Raise Failure where a file, or files beside it, do not fit the disk."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise Failure(
            f"{path} needs about {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free there"
        )


def foresee(
    paths: Sequence[Path], *, size: float, parts: float, part: Callable[[], object]
) -> bool:
    """Say what large work will take, before it begins; whether that was said.

    Args:
        paths: the files to write.
        size: bytes of each, about.
        parts: how many times the work of `part` it is, about.
        part: a small piece of it, done once and thrown away where the work is large.

    Raises:
        Failure: if the files do not fit the disk.
    """
    filled = len(paths) * size
    check_disk(paths[0], filled)
    what = paths[0].name if len(paths) == 1 else f"{len(paths):,} files"
    return _said(what, _rehearsed(parts, part), filled)


def foresee_work(what: str, *, parts: float, part: Callable[[], object]) -> bool:
    """Say how long work takes that fills no disk, before it begins; whether that was said.

    Args:
        what: its name.
        parts: how many times the work of `part` it is, about.
        part: a small piece of it, done once and thrown away where the work is large.
    """
    return _said(what, _rehearsed(parts, part), 0.0)


def foreseen(paths: list[Path], made: Iterable[T], *, told: bool = False) -> Iterator[T]:
    """What is made, a file each; after the first, what the others will take, unless it was told.

    Raises:
        Failure: if the others do not fit the disk.
    """
    start = time.perf_counter()
    for i, each in enumerate(made):
        if i == 0 and len(paths) > 1:
            left = len(paths) - 1
            filled = left * (paths[0].stat().st_size if paths[0].is_file() else 0)
            check_disk(paths[0], filled)
            if not told:
                _said(f"{left:,} more", left * (time.perf_counter() - start), filled)
        yield each


def bytes_of_mesh(faces: Faces, resolution: int) -> float:
    """What a file of a mesh takes, about and at least, by its triangles."""
    each = _CROSSED[faces == "full"] * resolution**2
    return _TRIANGLE * (min(faces, each) if isinstance(faces, int) else each)


def parts_of_mesh(steps: int, resolution: int) -> float:
    """How many times the work of a mesh of `PART_RESOLUTION` and one step it is, about."""
    return (resolution / PART_RESOLUTION) ** 1.5 + steps / _STEPS


def _rehearsed(parts: float, part: Callable[[], object]) -> float:
    """Seconds of the whole by those of a part; 0 where that is not worth a rehearsal."""
    if parts <= _PARTS:
        return 0.0
    start = time.perf_counter()
    part()
    return parts * (time.perf_counter() - start)


def _said(what: str, seconds: float, filled: float) -> bool:
    is_large = seconds > _SECONDS or filled > _BYTES
    if is_large:
        takes = [_duration(seconds)] if seconds >= 1 else []
        takes += [f"{filled / 1e9:,.2f} GB"] if filled >= 5e6 else []
        print(f"geoflow: {what} will take about {' and '.join(takes)}", file=sys.stderr)
    return is_large


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
