"""A folder of .npy arrays and texts that appears whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from geoflow.atomic import check_room, disk_full_named, draft_of, sync


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> None:
    """Write arrays by name and texts by file name; errors and rivals as of `new_folder`."""
    needed = sum(array.nbytes for array in arrays.values()) + sum(map(len, texts.values()))
    with new_folder(folder, needed) as draft:
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array)
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")


@contextmanager
def new_folder(folder: Path, needed: int) -> Iterator[Path]:
    """A draft to fill, which takes the folder's place unless a whole one is there by then.

    Of several who write the same at once, the first keeps its place, and all are served by it;
    what is there and is not whole goes.

    Args:
        folder: whose folder is made, too.
        needed: bytes that the files will have.

    Raises:
        OSError: if it cannot be written, or the disk is full, naming the folder and what it needs;
            nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with disk_full_named(folder, needed):
            check_room(folder, needed)
            yield draft
            for path in draft.iterdir():
                sync(path)
        names = [path.name for path in draft.iterdir()]
        while not _moved(draft, folder):
            if all((folder / name).is_file() for name in names):
                return
            _remove(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _moved(draft: Path, folder: Path) -> bool:
    """Whether a folder has its place; not where another one with something in it has it."""
    try:
        draft.replace(folder)
    except OSError:
        if not folder.exists():
            raise
        return False
    return True


def _remove(folder: Path) -> None:
    """Take a folder away in one step, whoever else does so."""
    away = draft_of(folder)
    try:
        folder.replace(away)
    except FileNotFoundError:
        return
    shutil.rmtree(away, ignore_errors=True)


def read_arrays(
    folder: Path, names: Sequence[str], card: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name, memory-mapped, and a JSON card.

    Raises:
        FileNotFoundError: if the folder is not there or incomplete.
    """
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
    return arrays, json.loads((folder / card).read_text(encoding="utf-8"))
