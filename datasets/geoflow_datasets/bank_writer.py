"""Banks written shape by shape, in memory for one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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
    card = Card(tuple(names), tuple(categories), tuple(category_names), texts or {})
    write_kept(folder, shapes, most=len(names), card=lambda: card)


@dataclass(frozen=True)
class Card:
    """What a bank says of its shapes."""

    names: Sequence[str]
    categories: Sequence[int]
    """As indices of `category_names`."""
    category_names: Sequence[str]
    texts: Mapping[str, str]
    """Further files by name."""


def write_kept(
    folder: Path,
    shapes: Iterable[Mapping[str, np.ndarray]],
    *,
    most: int,
    card: Callable[[], Card],
) -> None:
    """Write a bank of which it is not known before how many shapes come.

    Args:
        folder: as of `write_bank`.
        shapes: as of `write_bank`.
        most: shapes that may come; the disk must hold as many.
        card: of those that came, asked for after the last.

    Raises:
        ValueError: as of `write_bank`.
        OSError: as of `write_bank`.
    """
    made = iter(shapes)
    first = next(made, {})
    size = sum(array.nbytes for array in first.values())
    with new_folder(folder, most * size) as draft:
        count = _fill(draft, chain([first], made) if first else made, most)
        about = card()
        if count != len(about.names):
            raise ValueError(f"{len(about.names)} shapes have names, {count} came")
        np.save(draft / "categories.npy", np.asarray(about.categories, dtype=np.int64))
        texts = {"names": list(about.names), "category_names": list(about.category_names)}
        for name, text in {
            CARD: json.dumps({"format": FORMAT, **texts}),
            **about.texts,
        }.items():
            (draft / name).write_text(text, encoding="utf-8")


def _fill(draft: Path, shapes: Iterable[Mapping[str, np.ndarray]], most: int) -> int:
    """Rows after a header, and not through a map: a full disk then ends the process (SIGBUS)."""
    opened: dict[str, tuple[BinaryIO, np.ndarray]] = {}
    count = 0
    with ExitStack() as files:
        for count, shape in enumerate(shapes, start=1):
            if count > most:
                break
            for key, array in shape.items():
                if key not in opened:
                    begun = files.enter_context((draft / f"{key}.npy").open("wb"))
                    opened[key] = (begun, array)
                    _write_header(begun, array, most)
                file, first = opened[key]
                if (array.shape, array.dtype) != (first.shape, first.dtype):
                    raise ValueError(
                        f"{key} of shape {count} is {array.dtype} {array.shape}, "
                        f"that of the first is {first.dtype} {first.shape}"
                    )
                file.write(array.tobytes())
        if count < most:
            for file, first in opened.values():
                file.seek(0)
                _write_header(file, first, count)
    return count


def _write_header(file: BinaryIO, row: np.ndarray, num: int) -> None:
    """Of a .npy file of so many rows like this one; as long for any number, so that it may grow."""
    header = {"descr": row.dtype.str, "fortran_order": False, "shape": (num, *row.shape)}
    np.lib.format.write_array_header_1_0(file, header)
