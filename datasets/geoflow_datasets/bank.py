"""A bank of sampled shapes: arrays on disk, random points of random shapes in one gather.

Every source of shapes (procedural, a folder of meshes) ends in a bank, and the trainer reads
nothing else. A bank on disk is a folder of .npy files with a JSON card, written to a temporary
folder and renamed when it is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16, Int

from geoflow.typing import ShapeBatch
from geoflow_datasets.array_folder import write_arrays

_ARRAYS = ("surface", "normals", "queries", "sdf", "categories")
_FORMAT = 1

# A bank's queries: this share near the surface first, then uniform ones in the box of half
# extent BOUND.
NEAR_SHARE = 0.7
BOUND = 1.05


def cache_folder() -> Path:
    """Where banks are kept: $GEOFLOW_CACHE, or ~/.cache/geoflow."""
    return Path(os.environ.get("GEOFLOW_CACHE", Path.home() / ".cache" / "geoflow"))


def counted_by(
    names: Sequence[str], categories: Int[np.ndarray, " N"], category_names: Sequence[str]
) -> Int[np.ndarray, " N"]:
    """Categories that were counted by `category_names`, counted by `names`.

    Raises:
        ValueError: if a category is not among the names.
    """
    missing = [name for name in category_names if name not in names]
    if missing:
        raise ValueError(
            f"the model's categories are {', '.join(names)}; the data has {', '.join(missing)}"
        )
    return np.array([list(names).index(name) for name in category_names])[np.asarray(categories)]


@dataclass(frozen=True)
class ShapeBank:
    """N shapes: S surface points with normals, Q queries with signed distances, in half precision.

    Distances are those of the rounded query points, so half precision costs no accuracy.
    """

    surface: Float16[np.ndarray, "N S 3"]
    normals: Float16[np.ndarray, "N S 3"]
    queries: Float16[np.ndarray, "N Q 3"]
    sdf: Float16[np.ndarray, "N Q"]
    categories: Int[np.ndarray, " N"]
    names: tuple[str, ...]
    category_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same shapes.

        Raises:
            ValueError: if lengths differ or a category has no name.
        """
        lengths = {name: len(getattr(self, name)) for name in (*_ARRAYS, "names")}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"a bank's arrays must have one length, got {lengths}")
        if len(self.categories) and self.categories.max() >= len(self.category_names):
            raise ValueError(
                f"category {self.categories.max()} has no name among {self.category_names}"
            )

    def __len__(self) -> int:
        """Number of shapes."""
        return len(self.names)

    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the shapes at `indices`, drawn with replacement from the stored ones."""
        rows = np.asarray(indices)[:, None]

        def draw(stored: int, num: int) -> np.ndarray:
            return torch.randint(stored, (len(rows), num), generator=generator).numpy()

        near, far = (
            draw(self.surface.shape[1], num_surface),
            draw(self.queries.shape[1], num_queries),
        )

        def take(array: np.ndarray, columns: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.asarray(array[rows, columns], dtype=np.float32))

        return ShapeBatch(
            surface=take(self.surface, near),
            normals=take(self.normals, near),
            queries=take(self.queries, far),
            sdf=take(self.sdf, far),
            category=torch.from_numpy(np.asarray(self.categories[rows[:, 0]], dtype=np.int64)),
        )

    def uniform_queries(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The queries (u, 3) of a shape that are uniform in the box, with distances (u,)."""
        first = int(NEAR_SHARE * self.queries.shape[1])
        queries = np.asarray(self.queries[index, first:], dtype=np.float32)
        return queries, np.asarray(self.sdf[index, first:], dtype=np.float32)

    def subset(self, indices: Sequence[int] | np.ndarray) -> ShapeBank:
        """The shapes at `indices`, in that order."""
        index = np.asarray(indices, dtype=np.int64)
        arrays = {name: getattr(self, name)[index] for name in _ARRAYS}
        return ShapeBank(
            **arrays, names=tuple(self.names[i] for i in index), category_names=self.category_names
        )

    def with_categories(self, names: Sequence[str]) -> ShapeBank:
        """The same shapes, their categories counted by `names`.

        Raises:
            ValueError: if a category of the bank is not among the names.
        """
        categories = counted_by(names, self.categories, self.category_names)
        return replace(self, categories=categories, category_names=tuple(names))

    def save(self, folder: Path, notes: Mapping[str, str] | None = None) -> None:
        """Write the bank, and texts by file name; the folder appears whole or not at all."""
        card = {"format": _FORMAT, "names": self.names, "category_names": self.category_names}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        write_arrays(folder, arrays, {"bank.json": json.dumps(card), **(notes or {})})

    @staticmethod
    def load(folder: Path) -> ShapeBank:
        """Open a bank, its arrays memory-mapped.

        Raises:
            FileNotFoundError: if the folder holds no bank.
            ValueError: if it was written in another format.
        """
        card_path = folder / "bank.json"
        if not card_path.is_file():
            raise FileNotFoundError(f"{folder} holds no bank of shapes (bank.json is missing)")
        card = json.loads(card_path.read_text())
        if card["format"] != _FORMAT:
            raise ValueError(
                f"{folder} has bank format {card['format']}, expected {_FORMAT}: delete it"
            )
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        return ShapeBank(
            **arrays, names=tuple(card["names"]), category_names=tuple(card["category_names"])
        )
