"""Places of this machine's disk stay with those who sit before it."""

from __future__ import annotations

import re
from pathlib import Path

_PLACE = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[\\/](?:[^\s\\/:'\",;]+[\\/])*([^\s\\/:'\",;]+)")


def without_folders(text: str) -> str:
    """A text whose absolute paths are their last part alone."""
    return _PLACE.sub(r"\1", text)


def shown_name(path: str | Path) -> str:
    """What visitors see of a path that was given: as it is where it is relative, else its name."""
    given = Path(path)
    return given.name if given.is_absolute() else str(path)
