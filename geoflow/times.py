"""Times: how one is broadcast, and how pairs (t, r) with t <= r are drawn for training.

Reference: the half of pairs on the diagonal r = t follows Li et al., "Cumulative flow maps",
2026, arXiv:2605.03623; without it training collapses there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.typing import Times


def expand_time(t: Times, *, like: Float[Tensor, "b *s"]) -> Float[Tensor, "b *o"]:
    """A time per example, shaped to broadcast against `like`."""
    return t.reshape(t.shape + (1,) * (like.ndim - 1))


@dataclass(frozen=True)
class UniformPairs:
    """Two uniform times, ordered; a share on the diagonal, and a share that ends at the data."""

    diagonal: float = 0.5
    """Share of pairs with r = t."""
    end: float = 0.0
    """Share of the other pairs with r = 1 exactly."""
    latest: float = 0.999
    """Largest t: several fields are singular at t = 1, where nothing is left to learn."""

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            ValueError: if a share or `latest` is outside [0, 1].
        """
        for name in ("diagonal", "end", "latest"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")

    def sample(
        self,
        num: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Times, Times]:
        """Pairs (t, r) with t <= r, on the CPU."""
        draws = torch.rand(4, num, generator=generator, dtype=dtype)
        t, r = draws[0].minimum(draws[1]), draws[0].maximum(draws[1])
        # On the diagonal t is uniform itself, not the smaller of two draws.
        on_diagonal, at_end = draws[2] < self.diagonal, draws[3] < self.end
        t = torch.where(on_diagonal | at_end, draws[0], t) * self.latest
        r = torch.where(on_diagonal, t, torch.where(at_end, torch.ones_like(r), r.maximum(t)))
        return t, r
