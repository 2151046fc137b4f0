"""Couplings: which noise goes with which data.

A coupling permutes noise, so that both marginals stay what they were; pairs that lie closer make
straighter trajectories, which fewer steps follow. The cost is the squared distance, which no
rotation, reflection or common translation changes: rotated noise and data are paired alike.

References: mini-batches, Tong et al., "Improving and Generalizing Flow-Based Generative Models
with Minibatch Optimal Transport", 2023, arXiv:2302.00482; points of a shape, Song et al.,
"Equivariant Flow Matching", 2023, arXiv:2312.07168.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from geoflow.condition import Condition


class Coupling(ABC):
    """A rule that reorders noise to suit data."""

    @abstractmethod
    def __call__(
        self,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
    ) -> Float[Tensor, "b *s"]:
        """Noise in the order in which it goes with the data."""


@dataclass(frozen=True)
class Independent(Coupling):
    """Noise as it comes."""

    def __call__(
        self,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
    ) -> Float[Tensor, "b *s"]:
        """The noise itself."""
        return x0


@dataclass(frozen=True)
class BatchTransport(Coupling):
    """Optimal transport over the examples of a batch, among those of one condition.

    Across conditions it would make noise tell the condition, which a sampler's noise does not.
    """

    def __call__(
        self,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
    ) -> Float[Tensor, "b *s"]:
        """Noise, permuted over the batch."""
        index = torch.arange(len(x0))
        groups = (cond or Condition()).groups(len(x0))
        for group in groups.unique():
            (here,) = (groups == group).nonzero(as_tuple=True)
            members = here.to(x0.device)
            index[here] = here[self.match(x0[members].flatten(1), x1[members].flatten(1))]
        return x0[index.to(x0.device)]

    @staticmethod
    def match(x0: Float[Tensor, "n d"], x1: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        """For each row of data the row of noise that it gets, on the CPU."""
        return assign(x0, x1)


@dataclass(frozen=True)
class PointTransport(Coupling):
    """Optimal transport over the points of each example, for sets whose order says nothing."""

    limit: int = 512
    """Most points that are matched, in cubic time."""

    def __call__(
        self,
        x0: Float[Tensor, "b n d"],
        x1: Float[Tensor, "b n d"],
        cond: Condition | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Noise, permuted over the points of each example.

        Raises:
            ValueError: if there are more than `limit` points.
        """
        if x0.shape[1] > self.limit:
            raise ValueError(
                f"{x0.shape[1]} points are too many to match in every step (limit {self.limit}): "
                "take fewer points, or another coupling"
            )
        matched = [
            noise[assign(noise, points).to(noise.device)]
            for noise, points in zip(x0, x1, strict=True)
        ]
        return torch.stack(matched)


COUPLINGS: dict[str, type[Coupling]] = {
    "independent": Independent,
    "batch": BatchTransport,
    "points": PointTransport,
}


def assign(x0: Float[Tensor, "n d"], x1: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
    """For each row of x1 the row of x0 that optimal transport brings to it, on the CPU."""
    # In float64: the expanded square loses digits where rows lie close.
    cost = torch.cdist(
        x1.detach().double(), x0.detach().double(), compute_mode="donot_use_mm_for_euclid_dist"
    ).square()
    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(columns.astype(np.int64))
