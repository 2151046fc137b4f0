"""A folder of .npy arrays and texts that appears whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> None:
    """Write arrays by name and texts by file name, in the place of what was there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array)
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_arrays(
    folder: Path, names: Sequence[str], card: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name, memory-mapped, and a JSON card.

    Raises:
        FileNotFoundError: if the folder is not there or incomplete.
    """
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
    return arrays, json.loads((folder / card).read_text(encoding="utf-8"))
