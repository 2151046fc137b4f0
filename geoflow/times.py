"""Distributions of pairs of times t <= r, and the one rule by which times meet tensors.

A pair is diagonal (r = t: flow matching) with a fixed share, ends at the data (r = 1: the jump
of a one-step sampler) with another, and is otherwise two independent draws in order.

References: uniform pairs with half on the diagonal, without which training collapses, Li et
al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026, arXiv:2605.03623; logit-normal
pairs, Geng et al., "Mean Flows for One-step Generative Modeling", 2025, arXiv:2505.13447.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.typing import Times


def expand_time(t: Times, *, like: Float[Tensor, "b *s"]) -> Float[Tensor, "b *o"]:
    """Times (b,) as (b, 1, ..., 1), to multiply `like`; the only place that reshapes a time."""
    return t.reshape(t.shape + (1,) * (like.ndim - 1))


@dataclass(frozen=True, kw_only=True)
class TimePairs(ABC):
    """A distribution of pairs of times (t, r) with 0 <= t <= r <= 1."""

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
        shares = {"diagonal": self.diagonal, "end": self.end, "latest": self.latest}
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {share}")

    @abstractmethod
    def sample(
        self,
        num: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Times, Times]:
        """Pairs (t, r) with t <= r, on the CPU."""

    def grid(self, steps: int, power: float = 1.0) -> Float[Tensor, " n"]:
        """Times 0 to 1 at the quantiles (i / steps)**power of the distribution of single times.

        A sampler that jumps along them lands where training has been; power 1 cuts it into equal
        parts, below it the last jumps are shorter. Here single times are uniform.

        Raises:
            ValueError: for fewer than one step, or a power that is not above 0.
        """
        return power_grid(steps, power).float()

    def draw(
        self, x: Float[Tensor, "b *s"], generator: torch.Generator | None = None
    ) -> tuple[Times, Times]:
        """A pair for each example of `x`, of its dtype and on its device."""
        t, r = self.sample(len(x), generator=generator, dtype=x.dtype)
        return t.to(x.device), r.to(x.device)


@dataclass(frozen=True)
class UniformPairs(TimePairs):
    """Both times uniform, put in order."""

    def sample(
        self,
        num: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Times, Times]:
        """Pairs (t, r) with t <= r, on the CPU."""
        draws = torch.rand(4, num, generator=generator, dtype=dtype)
        return _pair(draws[:2], draws[2] < self.diagonal, draws[3] < self.end, self.latest)


@dataclass(frozen=True)
class LogitNormalPairs(TimePairs):
    """Both times sigmoid(mean + std z) of normal z, put in order."""

    mean: float = 0.4
    """Mean of the logit; above zero favours the data end."""
    std: float = 1.0
    """Standard deviation of the logit."""
    diagonal: float = field(default=0.75, kw_only=True)
    """Share of pairs with r = t."""

    def sample(
        self,
        num: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Times, Times]:
        """Pairs (t, r) with t <= r, on the CPU."""
        normal = torch.randn(2, num, generator=generator, dtype=dtype)
        draws = torch.rand(2, num, generator=generator, dtype=dtype)
        times = torch.sigmoid(self.mean + self.std * normal)
        return _pair(times, draws[0] < self.diagonal, draws[1] < self.end, self.latest)

    def grid(self, steps: int, power: float = 1.0) -> Float[Tensor, " n"]:
        """Quantiles of the distribution; the ends are exact, as those of a sigmoid are."""
        quantiles = power_grid(steps, power)
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(quantiles)).float()


def power_grid(steps: int, power: float, start: float = 0.0) -> Float[Tensor, " n"]:
    """Times (i / steps)**power of `steps` jumps from 0 to 1; above power 1 the first are short.

    From a later start they are equal in time**(1 / power) as well.

    Short first jumps serve maps whose field turns fast near the noise, as that of many kinds of
    things does, and short last ones those whose detail comes late. With another clock such grids
    are those of Karras et al., 2022, arXiv:2206.00364, equation 5.

    Raises:
        ValueError: for fewer than one step, a power that is not above 0, or a start that is not
            in [0, 1).
    """
    if not power > 0:
        raise ValueError(f"power must be above 0, got {power}")
    if not 0 <= start < 1:
        raise ValueError(f"start must be in [0, 1), got {start}")
    times = _levels(steps, torch.float64, start ** (1 / power)) ** power
    # Not a rounding before the start.
    times[0] = start
    return times


TIME_PAIRS: dict[str, type[TimePairs]] = {
    "uniform": UniformPairs,
    "logit-normal": LogitNormalPairs,
}


def _pair(
    times: Tensor, is_diagonal: Tensor, is_end: Tensor, latest: float
) -> tuple[Tensor, Tensor]:
    # A single time keeps its distribution on the diagonal and before the end: the smaller of two
    # draws would favour the noise.
    t = torch.where(is_diagonal | is_end, times[0], times.amin(0)) * latest
    r = torch.where(is_end, 1.0, times.amax(0))
    return t, torch.where(is_diagonal, t, r)


def _levels(steps: int, dtype: torch.dtype = torch.float32, start: float = 0.0) -> Tensor:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    return torch.linspace(start, 1.0, steps + 1, dtype=dtype)
