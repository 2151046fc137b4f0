"""What an objective is: per-example losses of a flow map on pairs of noise and data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.typing import Condition


@dataclass(frozen=True)
class Losses:
    """Loss of each example, and the named terms that it is the sum of."""

    total: Float[Tensor, " b"]
    terms: dict[str, Float[Tensor, " b"]]


class Objective(ABC):
    """A loss on a flow map. Times are drawn inside; the value of an example is its own."""

    @abstractmethod
    def __call__(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
        *,
        generator: torch.Generator | None = None,
        teacher: FlowMap | None = None,
    ) -> Losses:
        """Losses of a batch.

        Args:
            flow_map: the map in training.
            x0: noise.
            x1: data.
            cond: condition of each example.
            generator: randomness of the times, on the CPU.
            teacher: the map that gives stopped targets; default: `flow_map` itself.
        """


def mean_square(difference: Float[Tensor, "b *s"]) -> Float[Tensor, " b"]:
    """Mean of squares over all axes but the first."""
    return difference.square().flatten(1).mean(1)


def take(cond: Condition | None, index: Tensor) -> Condition | None:
    """The condition of some examples."""
    return None if cond is None else cond[index]
