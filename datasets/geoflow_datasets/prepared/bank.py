"""Shapes of a prepared folder, read from its shards as they are asked for: none stays in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Int

from geoflow.condition import Condition
from geoflow.typing import ShapeBatch
from geoflow_datasets.bank import Bank, renumbered
from geoflow_datasets.prepared.shards import Shards

B = TypeVar("B", bound=Bank)
# Shapes that are held in memory to compare with.
_COMPARED = 512


@dataclass(frozen=True, kw_only=True)
class ShardedBank(Generic[B]):
    """Some shapes of a folder's shards, in an order; `batch` gives what a `Bank` of them would."""

    shards: Shards
    bank: type[B]
    """What the shapes are."""
    places: Int[np.ndarray, " N"]
    categories: Int[np.ndarray, " N"]
    names: tuple[str, ...]
    category_names: tuple[str, ...]

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
        index = np.asarray(indices)
        unique, order = np.unique(index, return_inverse=True)
        return (
            self.subset(unique)
            .loaded()
            .batch(order, num_surface=num_surface, num_queries=num_queries, generator=generator)
        )

    def loaded(self) -> B:
        """All shapes, in memory."""
        names = [name for name in self.bank.array_names() if name != "categories"]
        arrays = {name: self.shards.rows(self.places.tolist(), name) for name in names}
        return self.bank(
            categories=self.categories,
            names=self.names,
            category_names=self.category_names,
            **arrays,
        )

    def compared(self) -> B:
        """A few hundred of the shapes, spread over all, in memory."""
        num = min(len(self), _COMPARED)
        return self.subset(np.linspace(0, len(self) - 1, num).round().astype(np.int64)).loaded()

    def subset(self, indices: Sequence[int] | np.ndarray) -> ShardedBank[B]:
        """The shapes at `indices`, in that order."""
        index = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            places=self.places[index],
            categories=self.categories[index],
            names=tuple(self.names[i] for i in index),
        )

    def with_categories(self, names: Sequence[str]) -> ShardedBank[B]:
        """The same shapes, their categories counted by `names`.

        Raises:
            ValueError: if a category is not among the names.
        """
        categories = renumbered(self.categories, self.category_names, names)
        return replace(self, categories=categories, category_names=tuple(names))

    def condition_of(self, indices: Int[np.ndarray, " b"]) -> Condition:
        """What the shapes at `indices` are conditioned on."""
        category = np.asarray(self.categories[np.asarray(indices)], dtype=np.int64)
        return Condition(category=torch.from_numpy(category))
