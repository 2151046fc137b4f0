"""Couplings: which noise goes with which data.

A coupling permutes noise, so that both marginals stay what they were; pairs that lie closer make
straighter trajectories, which fewer steps follow. The cost is the squared distance, which no
rotation, reflection or common translation changes: rotated noise and data are paired alike.

References: mini-batches, Tong et al., "Improving and Generalizing Flow-Based Generative Models
with Minibatch Optimal Transport", 2023, arXiv:2302.00482; points of a shape, Song et al.,
"Equivariant Flow Matching", 2023, arXiv:2312.07168; supersets, Hui et al., "Not-So-Optimal
Transport Flows for 3D Point Cloud Generation", 2025, arXiv:2502.12456.
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
    """Optimal transport over the examples of a batch, within each category.

    Across categories it would make noise tell the category, which a sampler's noise does not.
    """

    def __call__(
        self,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
    ) -> Float[Tensor, "b *s"]:
        """Noise, permuted over the batch."""
        index = torch.arange(len(x0))
        category = None if cond is None else cond.category
        groups = torch.zeros(len(x0)) if category is None else category.cpu()
        for group in groups.unique():
            (here,) = (groups == group).nonzero(as_tuple=True)
            members = here.to(x0.device)
            index[here] = here[assign(x0[members].flatten(1), x1[members].flatten(1))]
        return x0[index.to(x0.device)]


@dataclass(frozen=True)
class PointTransport(Coupling):
    """Optimal transport over the points of each example, for sets whose order says nothing."""

    limit: int = 512
    """Most points that are matched exactly, in cubic time; for more, see `match_superset`."""

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
                "match a superset of each shape once, by match_superset"
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


def match_superset(
    points: Float[Tensor, "n d"], *, generator: torch.Generator | None = None
) -> Float[Tensor, "n d"]:
    """Noise for a large set of a shape's points, matched once, before training.

    Every step then takes a random part of the pairs by `take_pairs`, as near to transport of the
    part as the set is large. Time grows with the cube of n: seconds for 2,048 points.
    """
    noise = torch.randn(points.shape, generator=generator, dtype=points.dtype)
    return noise[assign(noise, points.cpu())].to(points.device)


def take_pairs(
    noise: Float[Tensor, "n d"],
    points: Float[Tensor, "n d"],
    num: int,
    *,
    blend: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "m d"], Float[Tensor, "m d"]]:
    """A random part of a matched superset, its noise mixed with fresh noise.

    The mixture sqrt(1 - blend) noise + sqrt(blend) fresh is normal again; without it a network
    would see one noise per point of the superset, and no other.

    Raises:
        ValueError: for more pairs than there are, or a blend outside [0, 1].
    """
    if num > len(points):
        raise ValueError(f"num must be at most the {len(points)} points of the set, got {num}")
    if not 0 <= blend <= 1:
        raise ValueError(f"blend must be in [0, 1], got {blend}")
    index = torch.randperm(len(points), generator=generator)[:num].to(points.device)
    fresh = torch.randn((num, points.shape[1]), generator=generator, dtype=noise.dtype)
    mixed = (1 - blend) ** 0.5 * noise[index] + blend**0.5 * fresh.to(noise.device)
    return mixed, points[index]
