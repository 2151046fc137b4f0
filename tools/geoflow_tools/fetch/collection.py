"""A folder of fetched meshes: models by category, whose they are, and which are held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from geoflow.atomic import write_text
from geoflow.geometry.mesh import normalise_mesh, write_mesh
from geoflow_datasets.attribution import Credit, write_attribution
from geoflow_datasets.splits import SPLITS_FILE, families_of

_POINTS = 4096
HELD_OUT = {"val": 0.1, "test": 0.1}
"""Shares of the shapes: some to choose by, some for the end."""


@dataclass(frozen=True)
class Model:
    """One mesh with its place, `CATEGORY/FILE`, and whose it is."""

    mesh: trimesh.Trimesh
    credit: Credit


def write_collection(folder: Path, models: Sequence[Model]) -> int:
    """Write meshes, `attribution.csv` and `splits.json`; how many meshes."""
    names = [model.credit.file for model in models]
    for model in models:
        path = folder / model.credit.file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mesh(model.mesh, path)
    write_attribution(folder, [model.credit for model in models])
    surface = np.stack([_sample(model.mesh) for model in models])
    splits = hold_out(names, families_of(names, surface))
    write_text(folder / SPLITS_FILE, json.dumps(splits, indent=1) + "\n")
    return len(models)


def hold_out(names: Sequence[str], families: Sequence[int]) -> dict[str, str]:
    """The split of each shape: about a tenth of each category for val, a tenth for test.

    Families are whole, and come in the order of a hash of their first name, so that nothing but
    names decides; one that is larger than what a split still lacks is for training. A family of
    several categories belongs to that of its first name.
    """
    members: dict[int, list[str]] = {}
    for name, family in sorted(zip(names, families, strict=True)):
        members.setdefault(family, []).append(name)
    by_category: dict[str, list[list[str]]] = {}
    for of in sorted(members.values(), key=lambda of: hashlib.sha256(of[0].encode()).digest()):
        by_category.setdefault(of[0].split("/")[0], []).append(of)
    splits = dict.fromkeys(names, "train")
    # What rounding leaves of a category is made up for in the next.
    owed = dict.fromkeys(HELD_OUT, 0.0)
    for _, groups in sorted(by_category.items()):
        free = list(groups)
        for split, share in HELD_OUT.items():
            owed[split] += share * sum(map(len, groups))
            for group in list(free):
                if len(group) <= owed[split]:
                    owed[split] -= len(group)
                    splits.update(dict.fromkeys(group, split))
                    free.remove(group)
    return splits


def _sample(mesh: trimesh.Trimesh) -> np.ndarray:
    points, _ = trimesh.sample.sample_surface(normalise_mesh(mesh), _POINTS, seed=0)
    return np.asarray(points)
