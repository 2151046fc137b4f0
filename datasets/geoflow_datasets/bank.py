"""Banks of shapes: arrays on disk, random points of random shapes in one gather.

Every source of shapes (procedural, folders of meshes or clouds) ends in a bank, and the trainer
reads nothing else. A bank on disk is a folder of .npy files with a JSON card, written to a
temporary folder and renamed when it is whole.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, final, get_type_hints

import numpy as np
import torch
from jaxtyping import Float16, Int

from geoflow.atomic import DamagedError, reading
from geoflow.condition import Condition
from geoflow.typing import ShapeBatch
from geoflow_datasets.array_folder import read_arrays, write_arrays
from geoflow_datasets.queries import NEAR_SHARE

CARD = "bank.json"
FORMAT = 1
"""Version of a bank on disk."""
_TEXTS = ("names", "category_names")

B = TypeVar("B", bound="Bank")


def cache_folder() -> Path:
    """Where banks are kept: $GEOFLOW_CACHE, or ~/.cache/geoflow."""
    return Path(os.environ.get("GEOFLOW_CACHE", Path.home() / ".cache" / "geoflow"))


@dataclass(frozen=True, kw_only=True)
class Bank(ABC):
    """N shapes: S surface points in half precision, and whatever else a subclass knows of them."""

    surface: Float16[np.ndarray, "N S 3"]
    categories: Int[np.ndarray, " N"]
    names: tuple[str, ...]
    category_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same shapes.

        Raises:
            ValueError: if lengths differ or a category has no name.
        """
        lengths = {name: len(getattr(self, name)) for name in (*self.array_names(), "names")}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"a bank's arrays must have one length, got {lengths}")
        if len(self.categories) and self.categories.min() < 0:
            raise ValueError(f"categories count from 0, got {self.categories.min()}")
        if len(self.categories) and self.categories.max() >= len(self.category_names):
            raise ValueError(
                f"category {self.categories.max()} has no name among {self.category_names}"
            )

    @abstractmethod
    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the shapes at `indices`, drawn with replacement from the stored ones."""

    @classmethod
    def array_names(cls) -> tuple[str, ...]:
        """Names of the fields that are arrays, one row a shape."""
        return tuple(field.name for field in fields(cls) if field.name not in _TEXTS)

    def __len__(self) -> int:
        """Number of shapes."""
        return len(self.names)

    def subset(self: B, indices: Sequence[int] | np.ndarray) -> B:
        """The shapes at `indices`, in that order; of neighbours on disk, what is there."""
        index = np.asarray(indices, dtype=np.int64)
        one_by_one = len(index) > 0 and index[0] >= 0 and bool((np.diff(index) == 1).all())
        # A slice is a view, which memory-mapped arrays stay in; a gather reads all of it.
        part = slice(index[0], index[-1] + 1) if one_by_one else index
        arrays = {name: getattr(self, name)[part] for name in self.array_names()}
        return replace(self, names=tuple(self.names[i] for i in index), **arrays)

    def with_categories(self: B, names: Sequence[str]) -> B:
        """The same shapes, their categories counted by `names`.

        Raises:
            ValueError: if a category of the bank is not among the names.
        """
        categories = renumbered(self.categories, self.category_names, names)
        return replace(self, categories=categories, category_names=tuple(names))

    def loaded(self: B) -> B:
        """The shapes as they are: of banks that are on disk, what is in memory."""
        return self

    def compared(self: B) -> B:
        """The shapes that samples are compared with: all."""
        return self

    def save(self, folder: Path, notes: Mapping[str, str] | None = None) -> None:
        """Write the bank, and texts by file name; the folder appears whole or not at all."""
        card = {"format": FORMAT, "names": self.names, "category_names": self.category_names}
        arrays = {name: getattr(self, name) for name in self.array_names()}
        write_arrays(folder, arrays, {CARD: json.dumps(card), **(notes or {})})

    @classmethod
    def load(cls: type[B], folder: Path) -> B:
        """Open a bank, its arrays memory-mapped.

        Raises:
            FileNotFoundError: if the folder holds no bank.
            DamagedError: if it is damaged, or was written in another format.
        """
        if not (folder / CARD).is_file():
            raise FileNotFoundError(f"{folder} holds no bank of shapes ({CARD} is missing)")
        with reading(folder):
            arrays, card = read_arrays(folder, cls.array_names(), CARD)
            if card["format"] != FORMAT:
                raise DamagedError(
                    f"{folder} has bank format {card['format']}, expected {FORMAT}: delete it"
                )
            hints = get_type_hints(cls)
            sizes: dict[str, int] = {}
            for name, array in arrays.items():
                _check_array(name, array, hints[name], sizes)
            return cls(
                names=words_of(card, "names"),
                category_names=words_of(card, "category_names"),
                **arrays,
            )

    def condition_of(self, indices: Int[np.ndarray, " b"]) -> Condition:
        """What the shapes at `indices` are conditioned on."""
        category = np.asarray(self.categories[np.asarray(indices)], dtype=np.int64)
        return Condition(category=torch.from_numpy(category))


@final
@dataclass(frozen=True, kw_only=True)
class ShapeBank(Bank):
    """Shapes with fields: normals of the surface, and Q queries with signed distances.

    Distances are those of the rounded query points, so half precision costs no accuracy.
    """

    normals: Float16[np.ndarray, "N S 3"]
    queries: Float16[np.ndarray, "N Q 3"]
    sdf: Float16[np.ndarray, "N Q"]

    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the shapes at `indices`, drawn with replacement from the stored ones."""
        near = _columns(self.surface, len(indices), num_surface, generator)
        far = _columns(self.queries, len(indices), num_queries, generator)
        return ShapeBatch(
            surface=_take(self.surface, indices, near),
            condition=self.condition_of(indices),
            normals=_take(self.normals, indices, near),
            queries=_take(self.queries, indices, far),
            sdf=_take(self.sdf, indices, far),
        )

    def uniform_queries(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The queries (u, 3) of a shape that are uniform in the box, with distances (u,)."""
        first = int(NEAR_SHARE * self.queries.shape[1])
        queries = np.asarray(self.queries[index, first:], dtype=np.float32)
        return queries, np.asarray(self.sdf[index, first:], dtype=np.float32)


@final
@dataclass(frozen=True, kw_only=True)
class CloudBank(Bank):
    """Clouds of points, of which nothing else is known."""

    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the clouds at `indices`, and no queries."""
        columns = _columns(self.surface, len(indices), num_surface, generator)
        return ShapeBatch(_take(self.surface, indices, columns), self.condition_of(indices))


def renumbered(
    categories: Int[np.ndarray, " N"], has: Sequence[str], names: Sequence[str]
) -> Int[np.ndarray, " N"]:
    """Categories that count the names `has`, counted by `names`.

    Raises:
        ValueError: if one of them is not among the names.
    """
    missing = [name for name in has if name not in names]
    if missing:
        raise ValueError(
            f"the model's categories are {', '.join(names)}; the data has {', '.join(missing)}"
        )
    index = np.array([list(names).index(name) for name in has])
    return index[categories]


def _check_array(name: str, array: np.ndarray, hint: Any, sizes: dict[str, int]) -> None:
    """Raise ValueError for an array of another form than its field's.

    Args:
        name: of the field.
        array: its value.
        hint: its type, with axes by number or by letter.
        sizes: of axes by letter, the same for all arrays; those of this one are added.
    """
    axes = hint.dim_str.split()
    fits = array.ndim == len(axes) and all(
        has > 0 and has == (int(axis) if axis.isdigit() else sizes.setdefault(axis, has))
        for has, axis in zip(array.shape, axes, strict=True)
    )
    if not fits or str(array.dtype) not in hint.dtypes:
        raise ValueError(f"{name} are {array.dtype} of shape {array.shape}")


def words_of(card: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A card's list of words; ValueError where it is something else."""
    words = card[name]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{name} of its card are no words")
    return tuple(words)


def _columns(
    array: np.ndarray, rows: int, num: int, generator: torch.Generator
) -> Int[np.ndarray, "b n"]:
    return torch.randint(array.shape[1], (rows, num), generator=generator).numpy()


def _take(array: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    taken = array[np.asarray(rows)[:, None], columns]
    return torch.from_numpy(np.asarray(taken, dtype=np.float32))
