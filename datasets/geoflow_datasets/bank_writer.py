"""Banks written shape by shape, in memory for one of them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from geoflow_datasets.bank import CARD, FORMAT


def write_bank(
    folder: Path,
    shapes: Iterable[Mapping[str, np.ndarray]],
    *,
    names: Sequence[str],
    categories: Sequence[int],
    category_names: Sequence[str],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a bank as its shapes come; the folder appears whole or not at all.

    Args:
        folder: where the bank goes, in the place of what was there.
        shapes: arrays of each shape by name, of the same sizes for all.
        names: of the shapes.
        categories: of the shapes, as indices.
        category_names: of all categories.
        texts: further files by name.

    Raises:
        ValueError: if another number of shapes comes than there are names.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _fill(draft, shapes, len(names))
        np.save(draft / "categories.npy", np.asarray(categories, dtype=np.int64))
        card = {"format": FORMAT, "names": list(names), "category_names": list(category_names)}
        for name, text in {CARD: json.dumps(card), **(texts or {})}.items():
            (draft / name).write_text(text, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(draft: Path, shapes: Iterable[Mapping[str, np.ndarray]], num: int) -> None:
    opened: dict[str, np.memmap] = {}
    count = 0
    for count, shape in enumerate(shapes, start=1):
        if count > num:
            break
        for key, array in shape.items():
            if key not in opened:
                opened[key] = np.lib.format.open_memmap(
                    draft / f"{key}.npy", mode="w+", dtype=array.dtype, shape=(num, *array.shape)
                )
            opened[key][count - 1] = array
    if count != num:
        raise ValueError(f"{num} shapes have names, {count} came")
    for array in opened.values():
        array.flush()
