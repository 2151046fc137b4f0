"""Folders of `geoflow data prepare` as sources: one row for meshes, one for clouds."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geoflow.atomic import reading
from geoflow_datasets.balance import in_turn
from geoflow_datasets.bank import CloudBank, ShapeBank
from geoflow_datasets.layouts import ALL, SPLITS, category_names
from geoflow_datasets.mesh_folder import MESHES
from geoflow_datasets.prepared.bank import ShardedBank
from geoflow_datasets.prepared.index import Index, Row
from geoflow_datasets.prepared.makers import MAKERS
from geoflow_datasets.prepared.prepare import CARD, REPORT, read_card
from geoflow_datasets.prepared.shards import Shards
from geoflow_datasets.request import Request
from geoflow_datasets.splits import unknown_names

# Held-out shapes are in memory, as those that numbers and pictures are of.
_HELD_OUT = 512


def is_prepared(source: str, *, kind: str) -> bool:
    """Whether this is a prepared folder of meshes, or of clouds."""
    folder = Path(source)
    if not (folder / CARD).is_file():
        return False
    with reading(folder / CARD):
        return json.loads((folder / CARD).read_text(encoding="utf-8")).get("kind") == kind


has_meshes = partial(is_prepared, kind="meshes")
has_clouds = partial(is_prepared, kind="clouds")


def check(request: Request) -> tuple[str, ...]:
    """The categories' names.

    Raises:
        ValueError: for a category that is not there, options that were settled when the folder was
            prepared, or a folder that an older version prepared.
    """
    card = read_card(request.path)
    maker = MAKERS[card["kind"]]
    if card["version"] != maker.preparation.version:
        raise ValueError(
            f"{request.source} was prepared by another version of geoflow: prepare it again"
        )
    options = card["options"]
    for flag, asked in (
        ("--data-up", request.up if request.up != "y" else None),
        ("--thickness", request.thickness),
        ("--keep-cavities", request.keep_cavities or None),
        ("--augment", request.augment or None),
    ):
        settled = options.get(flag.removeprefix("--data-").removeprefix("--").replace("-", "_"))
        if asked is not None and asked != settled:
            raise ValueError(
                f"{request.source} was prepared with {settled}: leave out {flag}"
                if settled is not None
                else f"{flag} does not go with a prepared folder: leave it out"
            )
    with Index(request.path, is_read_only=True) as index:
        found = tuple(sorted({row.category for row in index.rows() if row.is_taken}))
    return _chosen(request, found)


def load(request: Request) -> ShardedBank[Any] | ShapeBank | CloudBank:
    """The shapes of a split: for training read when they are asked for, held-out ones in memory.

    Of the latter at most 512, categories by turns; where none is held out, shapes for training
    stand in.

    Raises:
        ValueError: as `check`, or for an unknown split.
    """
    if request.split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {request.split!r}")
    names = check(request)
    with Index(request.path, is_read_only=True) as index:
        rows = [row for row in index.rows() if row.is_taken and row.category in names]
    kind = read_card(request.path)["kind"]
    chosen = _bank(request.path, kind, [r for r in rows if r.split == request.split] or rows, names)
    if request.split == "train":
        return chosen
    return chosen.subset(in_turn(chosen.categories)[:_HELD_OUT]).loaded()


def describe(request: Request) -> str:
    """How many shapes there are, how they were made, and the most frequent refusals."""
    with Index(request.path, is_read_only=True) as index:
        rows = list(index.rows())
    kind = read_card(request.path)["kind"]
    maker = MAKERS[kind]
    reports = [
        maker.preparation.report(row.name, row.category, **row.report)
        for row in rows
        if row.is_taken
    ]
    reasons = Counter(row.report.get("refused", "") for row in rows if not row.is_taken)
    said = [
        f"{len(reports):,} {kind} ({maker.preparation.summary(reports)}), "
        f"{reasons.total():,} refused"
    ]
    said += [f"  {num:,} x {reason}" for reason, num in reasons.most_common(5)]
    if reasons:
        said.append(f"  each by name: {request.path / REPORT}")
    said += unknown_names(request.path, [row.name for row in rows])
    return "\n".join(said)


def _chosen(request: Request, found: tuple[str, ...]) -> tuple[str, ...]:
    if not found:
        raise ValueError(f"{request.source} holds no shapes: all files were refused")
    if request.category == ALL:
        return found
    wanted = category_names(request.category)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"{request.source} has no category {missing[0]!r}; it has {', '.join(found)}, or all"
        )
    return wanted


def _bank(folder: Path, kind: str, rows: list[Row], names: tuple[str, ...]) -> ShardedBank[Any]:
    return ShardedBank(
        shards=Shards(folder),
        bank=ShapeBank if kind == MESHES.kind else CloudBank,
        places=np.array([row.place for row in rows], dtype=np.int64),
        categories=np.array([names.index(row.category) for row in rows], dtype=np.int64),
        names=tuple(row.name for row in rows),
        category_names=names,
    )
