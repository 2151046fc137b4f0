"""Categories drawn equally often, however many shapes each has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int

from geoflow.typing import ShapeBatch, ShapeDataset


@runtime_checkable
class Categorised(ShapeDataset, Protocol):
    """Shapes whose categories are known."""

    @property
    def categories(self) -> Int[np.ndarray, " N"]:
        """Category index of each shape."""


@dataclass(frozen=True)
class Balanced:
    """A view of shapes in which those of small categories come several times."""

    shapes: ShapeDataset
    rows: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the shapes in the rows `indices`."""
        return self.shapes.batch(
            self.rows[np.asarray(indices)],
            num_surface=num_surface,
            num_queries=num_queries,
            generator=generator,
        )


def balanced(shapes: Categorised) -> ShapeDataset:
    """The shapes, as often as brings each category to the size of the largest.

    A row drawn at random then has any category with the same chance. Shapes of one category, or of
    categories of one size, are returned as they are.
    """
    labels = np.asarray(shapes.categories)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    size = max(map(len, members))
    if all(len(rows) == size for rows in members):
        return shapes
    return Balanced(shapes, np.concatenate([np.resize(rows, size) for rows in members]))


def in_turn(categories: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Rows in an order in which the categories take turns, so that the first few show them all."""
    labels = np.asarray(categories)
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rank[rows] = np.arange(len(rows))
    return np.lexsort((labels, rank))
