"""Shapes of tensors and the protocols between rooms.

Axes: b batch, k tokens, c packed channels of a token (scalars, then vectors times 3), n surface
points, q query points, m frame vectors, 3 space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.condition import Condition

Times = Float[Tensor, " b"]
"""Times in [0, 1], 0 = noise, 1 = data, one per example."""


class Backbone(Protocol):
    """A network of two times, the same shape out as in."""

    def __call__(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None
    ) -> Float[Tensor, "b *s"]:
        """Raw field m_{t->r}(x)."""


@dataclass(frozen=True)
class ShapeBatch:
    """Points of a batch of shapes: surface with normals, and signed distances at queries."""

    surface: Float[Tensor, "b n 3"]
    normals: Float[Tensor, "b n 3"]
    queries: Float[Tensor, "b q 3"]
    sdf: Float[Tensor, "b q"]
    category: Int[Tensor, " b"]


class ShapeDataset(Protocol):
    """Shapes by index, as the trainer sees them."""

    def __len__(self) -> int:
        """Number of shapes."""

    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the shapes at `indices`."""
