"""The files of a folder, however it came: with links, with what macOS leaves, with any names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# What macOS writes beside a file on foreign disks and in archives; it holds no shape.
_APPLE_DOUBLE = "._"


def files_in(folder: Path) -> list[Path]:
    """Files at any depth, sorted; linked folders are followed, but for those that hold themselves.

    AppleDouble files (._NAME) are left out, and links that lead nowhere.
    """
    return sorted(_walk(folder, (_identity(folder),)))


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(_APPLE_DOUBLE):
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and _identity(path) not in above and os.access(path, os.R_OK | os.X_OK):
            yield from _walk(path, (*above, _identity(path)))


def _identity(folder: Path) -> tuple[int, int]:
    entry = folder.stat()
    return entry.st_dev, entry.st_ino
