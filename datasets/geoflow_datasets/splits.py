"""Which shapes of a folder are held out: whole families, so that no sibling is on both sides.

`splits.json` in the folder says it outright, `groups.csv` says which shapes belong together; the
official table of ShapeNetCore, `all.csv`, comes next. Where none names a shape, a family is the
shapes whose names differ in numbers or in a last word, and those of nearly equal geometry. A name
that many shapes share is a numbering and makes no family.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float, Float32
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoflow_datasets.layouts import SPLITS, split_of

SPLITS_FILE, GROUPS_FILE, OFFICIAL_FILE = "splits.json", "groups.csv", "all.csv"
# A family by name has at most this many shapes, or this share of those beside it in its folder.
_MOST, _MOST_SHARE = 4, 0.05
_CELLS = 8
# Two samplings of 4,096 points of one shape overlap by 0.99, different chairs by 0.9 and less.
_SAME = 0.98
_ROWS = 1024


def splits_of(folder: Path, names: Sequence[str], surface: np.ndarray) -> list[str]:
    """The split of each shape.

    Args:
        folder: where `splits.json`, `groups.csv` and ShapeNet's `all.csv` may lie.
        names: paths inside the folder.
        surface: points (N, S, 3) of the normalised shapes.

    Raises:
        ValueError: if one of these files cannot be read as what it should be.
    """
    return extend_splits(folder, names, np.stack([shares_of(points) for points in surface]), {})


def extend_splits(
    folder: Path,
    names: Sequence[str],
    shares: np.ndarray,
    kept: Mapping[str, str],
) -> list[str]:
    """The split of each shape, where some have one already: it stays, and draws its family to it.

    What the folder says of a shape draws its family as well.

    Args:
        folder: as of `splits_of`.
        names: paths inside the folder.
        shares: of each shape, as `shares_of` gives them.
        kept: splits by name. The geometry of these is compared with that of the others alone.

    Raises:
        ValueError: as `splits_of`.
    """
    said, groups = _read_splits(folder / SPLITS_FILE), _read_groups(folder / GROUPS_FILE)
    official = _read_official(folder / OFFICIAL_FILE)
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    grouped = [
        groups.get(name) or groups.get(stem) for name, stem in zip(names, stems, strict=True)
    ]
    fresh = np.flatnonzero([name not in kept for name in names])
    families = _families(names, _same_geometry(shares, fresh), grouped)
    given = [
        said.get(name) or said.get(stem) or official.get("/".join(PurePosixPath(name).parts[:2]))
        or own_split(name) or kept.get(name)
        for name, stem in zip(names, stems, strict=True)
    ]  # fmt: skip
    first: dict[int, str] = {}
    drawn: dict[int, str] = {}
    for name, split, family in sorted(zip(names, given, families, strict=True), key=itemgetter(0)):
        first.setdefault(family, name)
        if split is not None:
            drawn.setdefault(family, split)
    return [
        split or drawn.get(family) or split_of(first[family], len(names))
        for split, family in zip(given, families, strict=True)
    ]


def unknown_names(folder: Path, names: Sequence[str]) -> list[str]:
    """A line for each file of splits or groups that names what is not there.

    Args:
        folder: as of `splits_of`.
        names: paths inside the folder, of all files of shapes, taken or not.

    Raises:
        ValueError: if all that one names is not there, or it cannot be read as what it should be.
    """
    known = {*names, *(str(PurePosixPath(name).with_suffix("")) for name in names)}
    lines = []
    for path, read in ((folder / SPLITS_FILE, _read_splits), (folder / GROUPS_FILE, _read_groups)):
        said = read(path)
        gone = [name for name in said if name not in known]
        if gone and len(gone) == len(said):
            raise ValueError(
                f"{path} names none of the files that are there: it names {gone[0]!r}, expected "
                f"paths inside its folder, such as {names[0]!r}"
            )
        if gone:
            lines.append(
                f"  {path.name} names {len(gone):,} files that are not there, such as {gone[0]!r}"
            )
    return lines


def families_of(
    names: Sequence[str], surface: np.ndarray, grouped: Sequence[str | None] | None = None
) -> list[int]:
    """A number for the family of each shape; a group that is given wins over names and geometry."""
    shares = np.stack([shares_of(points) for points in surface])
    same = _same_geometry(shares, np.arange(len(names)))
    return _families(names, same, grouped or [None] * len(names))


def _families(
    names: Sequence[str], same: list[tuple[int, int]], grouped: Sequence[str | None]
) -> list[int]:
    pairs = _linked(_families_by_name(names)) + same
    free = [(a, b) for a, b in pairs if grouped[a] is None and grouped[b] is None]
    joined = np.array([*free, *_linked(grouped)]).reshape(-1, 2)
    graph = coo_array((np.ones(len(joined)), joined.T), shape=(len(names), len(names)))
    return connected_components(graph, directed=False)[1].tolist()


def own_split(name: str) -> str | None:
    """The split that a folder of the path names."""
    return next((part for part in PurePosixPath(name).parts[:-1][:2][::-1] if part in SPLITS), None)


def _linked(keys: Sequence[str | None]) -> list[tuple[int, int]]:
    """Each index with the first of the same key."""
    first: dict[str, int] = {}
    return [(first.setdefault(key, i), i) for i, key in enumerate(keys) if key is not None]


def _families_by_name(names: Sequence[str]) -> list[str | None]:
    """The coarsest key of each name that few enough share."""
    keys = [_keys(name) for name in names]
    count = Counter(key for found in keys for key in set(found))
    beside = Counter(PurePosixPath(name).parent for name in names)
    most = [max(_MOST, int(_MOST_SHARE * beside[PurePosixPath(name).parent])) for name in names]
    return [
        next((key for key in found if count[key] <= limit), None)
        for found, limit in zip(keys, most, strict=True)
    ]


def _keys(name: str) -> list[str]:
    """The name without its last word, and with it; both without numbers and copies' marks."""
    path = PurePosixPath(name)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path.stem)
    words = [word for word in re.split(r"[\W\d_]+", text.lower()) if word not in ("", "copy", "v")]
    found = [words[:-1], words] if len(words) > 1 else [words]
    return [f"{path.parent}/{' '.join(part)}" for part in found if part]


def _same_geometry(shares: np.ndarray, fresh: np.ndarray) -> list[tuple[int, int]]:
    """Pairs, one of them fresh, whose surfaces fill the cells of a coarse grid alike.

    The overlap is Bhattacharyya's.
    """
    found: list[tuple[int, int]] = []
    for start in range(0, len(fresh), _ROWS):
        some = fresh[start : start + _ROWS]
        overlap = shares[some] @ shares.T
        rows, columns = np.nonzero(overlap > _SAME)
        found += [(int(a), int(b)) for a, b in zip(some[rows], columns, strict=True) if a != b]
    return found


def shares_of(surface: Float[np.ndarray, "s 3"]) -> Float32[np.ndarray, " cells"]:
    """Roots of a surface's shares, spread linearly over the corners of a coarse grid's cells."""
    points = np.asarray(surface, dtype=np.float64)
    place = np.clip((points + 1) / 2, 0, 1) * (_CELLS - 1)
    base = np.minimum(place.astype(int), _CELLS - 2)
    along = place - base
    sums = np.zeros((_CELLS,) * 3)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, along, 1 - along), axis=-1)
        np.add.at(sums, tuple((base + corner).T), weight)
    return np.sqrt(sums.ravel() / len(points)).astype(np.float32)


def _read_official(path: Path) -> dict[str, str]:
    """Splits by SYNSET/MODEL, from the table that comes with ShapeNetCore."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"synsetId", "modelId", "split"} <= set(rows.fieldnames or ()):
            return {}  # a table of the user's own
        return {
            f"{row['synsetId'].zfill(8)}/{row['modelId']}": row["split"]
            for row in rows
            if row["split"] in SPLITS
        }


def _read_splits(path: Path) -> dict[str, str]:
    """Split by name, from {"train": [names], ...} or {name: split}."""
    if not path.is_file():
        return {}
    try:
        given = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    by_split = isinstance(given, dict) and set(given) <= set(SPLITS)
    if by_split and all(isinstance(names, list) for names in given.values()):
        pairs = [(str(name), split) for split, names in given.items() for name in names]
        given, by_split = dict(pairs), False
        twice = next((name for name, split in pairs if given[name] != split), None)
        if twice is not None:
            raise ValueError(f"{path} has {twice!r} in more than one split")
    if by_split or not isinstance(given, dict) or not set(map(str, given.values())) <= set(SPLITS):
        raise ValueError(
            f'{path} must be {{"train": [names], "val": ..., "test": ...}} or {{name: split}}'
        )
    return given


def _read_groups(path: Path) -> dict[str, str]:
    """Group by name, from a table with the columns name and group."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"name", "group"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{path} must have the columns name and group, got {rows.fieldnames}")
        return {row["name"]: row["group"] for row in rows}
