"""Shapes of tensors and the protocols between rooms.

Axes: b batch, k tokens, c packed channels of a token (scalars, then vectors times 3), n surface
points, q query points, m frame vectors, 3 space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Times = Float[Tensor, " b"]
"""Times in [0, 1], 0 = noise, 1 = data, one per example."""


@dataclass(frozen=True)
class Condition:
    """What a sample is conditioned on; each part is one per example, or absent."""

    frame: Float[Tensor, "b m 3"] | None = None
    """Frame that the sample turns with."""
    category: Int[Tensor, " b"] | None = None
    """Index of its category."""
    tokens: Float[Tensor, "b k c"] | None = None
    """Latent of the shape whose points the sample consists of."""

    points: Float[Tensor, "b n 3"] | None = None
    """Points of a surface that the sample belongs to."""

    def __getitem__(self, index: Tensor | slice) -> Condition:
        """The condition of some examples of the batch."""
        return self._map(lambda part: part[index])

    def to(self, device: torch.device | str) -> Condition:
        """The condition on a device."""
        return self._map(lambda part: part.to(device))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Condition(
            **{name: None if part is None else change(part) for name, part in parts.items()}
        )


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
