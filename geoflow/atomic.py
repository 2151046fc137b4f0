"""Files of ours: they appear whole or keep their old content, and damaged ones say so in a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Characters of what went wrong that a line repeats.
_SAID = 300


class DamagedError(RuntimeError):
    """A file that we wrote is missing, damaged or of another version."""


@contextmanager
def reading(path: str | Path, raised: type[DamagedError] = DamagedError) -> Iterator[None]:
    """Whatever goes wrong while a file of ours is read becomes one line that names it.

    Readers of JSON, arrays and weights fail in as many ways as files can be damaged.

    Raises:
        DamagedError: or the type given.
    """
    try:
        yield
    except (DamagedError, FloatingPointError, MemoryError, OSError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:_SAID]
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise raised(f"{path} is damaged: {kind}{said}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a temporary file beside `path`, then rename it.

    Raises:
        OSError: if the folder does not exist or cannot be written; nothing is left behind.
    """
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """As `write_text`, JSON for people.

    Raises:
        FloatingPointError: for a number that is not finite, which JSON does not have.
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError as error:
        raise FloatingPointError(
            f"{path} is not written: a number in it is not finite (NaN or infinite)"
        ) from error
    write_text(path, text + "\n")
