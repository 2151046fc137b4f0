"""Files of ours: they appear whole or keep their old content, and damaged ones say so in a line."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
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
    """Write a temporary file beside `path`, then rename it; both are on the disk on return.

    Raises:
        OSError: if the folder does not exist or cannot be written, or the disk is full, naming
            the file and what it needs; nothing is left behind.
    """
    draft = draft_of(path)
    try:
        with disk_full_named(path, len(content)):
            draft.write_bytes(content)
            sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """A name beside a path that nobody else writes to."""
    return path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk, not in its cache alone."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders, and keeps their names itself.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_full_named(path: Path, needed: int) -> Iterator[None]:
    """Let the error of a full disk say which file needs how many bytes."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        said = f"the disk is full: {path} needs {needed:,} bytes, {free:,} are free"
        raise OSError(error.errno, said) from error


def check_room(path: Path, needed: int) -> None:
    """Raise OSError, as a full disk does, where it is foreseen that a file does not fit."""
    if needed > shutil.disk_usage(path.parent).free:
        with disk_full_named(path, needed):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
