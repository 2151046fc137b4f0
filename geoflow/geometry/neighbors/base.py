"""What a backend of the neighbour interface gives: candidates, which `exact` puts in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

OPERATIONS = ("knn", "radius", "fps", "chamfer")


class Backend(ABC):
    """A library that searches. Tensors are detached, checked and not empty."""

    package: ClassVar[str]
    """Module that it needs."""
    install: ClassVar[str]
    """What a user does to get it."""
    operations: ClassVar[frozenset[str]]
    """Those of OPERATIONS that it answers; the next backend of the table answers the others."""

    @abstractmethod
    def load(self) -> None:
        """Import the library.

        Raises:
            ImportError: if it is absent.
            OSError: if it was built for another torch.
        """

    @abstractmethod
    def covers(self, dtype: torch.dtype, device: torch.device) -> bool:
        """Whether tensors of this type on this device can be searched; after `load`."""

    @abstractmethod
    def nearest(
        self, points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"], k: int
    ) -> Int[Tensor, "b m k"]:
        """The k <= n nearest points of every query, up to rounding, in any order."""

    @abstractmethod
    def within(
        self,
        points: Float[Tensor, "b n 3"],
        queries: Float[Tensor, "b m 3"],
        k: int,
        radius: float,
    ) -> Int[Tensor, "b m k"]:
        """As `nearest`, but -1 may stand for points farther than the radius."""

    @abstractmethod
    def farthest(self, points: Float[Tensor, "b n 3"], num: int) -> Int[Tensor, "b num"]:
        """Farthest-point sampling from point 0; may repeat points that coincide."""
