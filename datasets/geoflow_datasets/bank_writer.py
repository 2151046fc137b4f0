"""Banks written shape by shape, in memory for one of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from geoflow_datasets.array_folder import new_folder
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
    """Write a bank as its shapes come; rivals as of `new_folder`.

    Args:
        folder: where the bank goes; it appears whole or not at all.
        shapes: arrays of each shape by name, of the same sizes for all.
        names: of the shapes.
        categories: of the shapes, as indices.
        category_names: of all categories.
        texts: further files by name.

    Raises:
        ValueError: if another number of shapes comes than there are names, or arrays of another
            size.
        OSError: if the disk is full, naming the folder and what it needs: after the first shape,
            where that says so.
    """
    made = iter(shapes)
    first = next(made, {})
    size = sum(array.nbytes for array in first.values())
    with new_folder(folder, len(names) * size) as draft:
        _fill(draft, chain([first], made) if first else made, len(names))
        np.save(draft / "categories.npy", np.asarray(categories, dtype=np.int64))
        card = {"format": FORMAT, "names": list(names), "category_names": list(category_names)}
        for name, text in {CARD: json.dumps(card), **(texts or {})}.items():
            (draft / name).write_text(text, encoding="utf-8")


def _fill(draft: Path, shapes: Iterable[Mapping[str, np.ndarray]], num: int) -> None:
    """Rows after a header, and not through a map: a full disk then ends the process (SIGBUS)."""
    opened: dict[str, tuple[BinaryIO, np.ndarray]] = {}
    count = 0
    with ExitStack() as files:
        for count, shape in enumerate(shapes, start=1):
            if count > num:
                break
            for key, array in shape.items():
                if key not in opened:
                    opened[key] = (
                        files.enter_context(_begun(draft / f"{key}.npy", array, num)),
                        array,
                    )
                file, first = opened[key]
                if (array.shape, array.dtype) != (first.shape, first.dtype):
                    raise ValueError(
                        f"{key} of shape {count} is {array.dtype} {array.shape}, "
                        f"that of the first is {first.dtype} {first.shape}"
                    )
                file.write(array.tobytes())
    if count != num:
        raise ValueError(f"{num} shapes have names, {count} came")


def _begun(path: Path, row: np.ndarray, num: int) -> BinaryIO:
    """A .npy file with its header alone, of so many rows like this one."""
    file = path.open("wb")
    header = {"descr": row.dtype.str, "fortran_order": False, "shape": (num, *row.shape)}
    np.lib.format.write_array_header_1_0(file, header)
    return file
