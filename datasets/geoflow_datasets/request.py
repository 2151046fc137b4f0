"""What is asked of a source of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geoflow_datasets.layouts import ALL

PROCEDURAL = "procedural"
"""What a user gives for shapes or figures made by seed."""
UNIVERSE = "universe"
"""What a user gives for solids of everything, made by seed."""
MADE = (PROCEDURAL, UNIVERSE)
"""Sources without files."""


@dataclass(frozen=True)
class Request:
    """What a user asks for."""

    source: str
    category: str = ALL
    split: str = "train"
    num: int | None = None
    up: str = "y"
    cache: Path | None = None
    show_progress: bool = False
    thickness: float | None = None
    """Least thickness of parts of meshes; None: the default."""
    keep_cavities: bool = False
    augment: int = 0
    """Deformed copies of each training mesh."""

    @property
    def path(self) -> Path:
        """The source as a path."""
        return Path(self.source)


def refuse_category(request: Request) -> None:
    """Raise ValueError for a category of a source that has none."""
    if request.category != ALL:
        raise ValueError(
            f"{request.source} has no categories, got {request.category!r}: leave it out"
        )


def is_procedural(source: str) -> bool:
    """Whether a user asks for data made by seed."""
    return source == PROCEDURAL


def is_universe(source: str) -> bool:
    """Whether a user asks for solids of everything."""
    return source == UNIVERSE
