"""Banks that were made elsewhere and carried: a folder with train/, val/ and test/, a bank each.

The folder's own categories count; `ShapeBank.save` writes such banks.
"""

from __future__ import annotations

import json
from pathlib import Path

from geoflow.atomic import reading
from geoflow_datasets.bank import CARD, ShapeBank, words_of
from geoflow_datasets.layouts import ALL
from geoflow_datasets.request import Request


def is_bank_folder(source: str) -> bool:
    """Whether a folder holds banks by split."""
    return (Path(source) / "train" / CARD).is_file()


def check(request: Request) -> tuple[str, ...]:
    """The categories' names, read from the training bank's card.

    Raises:
        ValueError: for a category, or an axis other than y: banks are as they were made.
        DamagedError: if the card cannot be read.
    """
    if request.category != ALL or request.up != "y":
        raise ValueError(
            f"{request.source} holds finished banks: leave out --shape-category and --data-up"
        )
    path = request.path / "train" / CARD
    with reading(path):
        return words_of(json.loads(path.read_text(encoding="utf-8")), "category_names")


def load(request: Request) -> ShapeBank:
    """The bank of a split.

    Raises:
        ValueError: for a split that the folder does not have.
    """
    check(request)
    try:
        return ShapeBank.load(request.path / request.split)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
