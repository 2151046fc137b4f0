"""Whose the files of a folder are: `attribution.csv`, with a row for each file.

Its columns are file (path inside the folder), name, creator and licence. What a model was trained
on travels in its card, by licence and creator.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from geoflow.atomic import write_text

ATTRIBUTION_FILE = "attribution.csv"


@dataclass(frozen=True)
class Credit:
    """Whose a file is."""

    file: str
    name: str
    creator: str
    licence: str


def write_attribution(folder: Path, credits: Sequence[Credit]) -> None:
    """Write the table of a folder."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Credit)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(credit) for credit in credits)
    write_text(folder / ATTRIBUTION_FILE, text.getvalue())


def read_attribution(folder: Path) -> list[Credit]:
    """The table of a folder; empty if it has none.

    Raises:
        ValueError: if a column is missing.
    """
    path = folder / ATTRIBUTION_FILE
    if not path.is_file():
        return []
    expected = [field.name for field in fields(Credit)]
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not set(expected) <= set(rows.fieldnames or ()):
            raise ValueError(
                f"{path} must have the columns {', '.join(expected)}, got {rows.fieldnames}"
            )
        return [Credit(**{key: row[key] for key in expected}) for row in rows]


def credits_of(folder: Path, names: Collection[str]) -> list[dict[str, Any]]:
    """Creators of these files with licence and number of files, for a model's card.

    Raises:
        ValueError: as `read_attribution`.
    """
    taken = set(names)
    count: dict[tuple[str, str], int] = {}
    for credit in read_attribution(folder):
        if credit.file in taken:
            key = credit.licence, credit.creator
            count[key] = count.get(key, 0) + 1
    return [
        {"licence": licence, "creator": creator, "files": num}
        for (licence, creator), num in sorted(count.items())
    ]
