"""Shapes of tensors and the protocols between rooms.

Axes: b batch, k tokens, c packed channels of a token (scalars, then vectors times 3), n surface
points, q query points, m frame vectors, 3 space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import msgspec
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.condition import Condition

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
"""A number of things, at least one; like the others below, checked where JSON is read."""
Extra = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
"""A number of things, or none."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A fraction from 0 to 1."""
Positive = Annotated[float, msgspec.Meta(gt=0)]
"""A number above zero."""
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
"""A number that is not negative."""

Times = Float[Tensor, " b"]
"""Times in [0, 1], 0 = noise, 1 = data, one per example."""


@runtime_checkable
class Backbone(Protocol):
    """A network of two times, the same shape out as in."""

    def __call__(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None
    ) -> Float[Tensor, "b *s"]:
        """Raw field m_{t->r}(x)."""


@dataclass(frozen=True)
class ShapeBatch:
    """Points of a batch of shapes; of those with fields also normals and signed distances."""

    surface: Float[Tensor, "b n 3"]
    condition: Condition
    """What each shape is given beside its points: its category."""
    normals: Float[Tensor, "b n 3"] | None = None
    queries: Float[Tensor, "b q 3"] | None = None
    sdf: Float[Tensor, "b q"] | None = None

    def field(
        self,
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b q 3"], Float[Tensor, "b q"]]:
        """Normals of the surface, queries, and their signed distances.

        Raises:
            ValueError: for clouds of points, which know none of them.
        """
        if self.normals is None or self.queries is None or self.sdf is None:
            raise ValueError("clouds of points have no normals and distances: give shapes that do")
        return self.normals, self.queries, self.sdf


@runtime_checkable
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
