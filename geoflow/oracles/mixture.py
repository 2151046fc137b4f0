"""Exact flow of data whose coordinates are independent mixtures of Gaussians.

In one dimension the flow is the increasing map between the distributions of x_t and x_r,

    psi_{t->r} = F_r^{-1} o F_t,      F_t(x) = sum_k w_k Phi((x - beta mu_k) / sigma_k),

sigma_k^2 = alpha^2 + beta^2 s_k^2; independent coordinates move each on their own. In the plane
three components make a grid of nine blobs: a distribution of many modes whose flow map is known.

Reference: Albergo et al., "Stochastic Interpolants", 2023, arXiv:2303.08797.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.interpolant import Interpolant
from geoflow.oracles.exact import ExactField
from geoflow.typing import Times

_HALVINGS = 44
# Standard deviations beyond the outer means within which the inverse is sought.
_REACH = 12.0
# Density below which, seven deviations out, no digits are left to invert.
_THIN = 1e-12


class MixtureField(ExactField):
    """Exact cumulative field; every coordinate is distributed as one mixture."""

    def __init__(
        self,
        weights: Float[Tensor, " m"],
        means: Float[Tensor, " m"],
        stds: Float[Tensor, " m"],
        interpolant: Interpolant,
        prediction: str,
    ) -> None:
        super().__init__(interpolant, prediction)
        for name, value in (("weights", weights / weights.sum()), ("means", means), ("stds", stds)):
            self.register_buffer(name, value)
        self.weights: Tensor
        self.means: Tensor
        self.stds: Tensor

    def sample(
        self, num: int, dim: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n d"]:
        """Data: `num` vectors of `dim` coordinates, on the CPU."""
        flat = torch.multinomial(self.weights.cpu(), num * dim, True, generator=generator)
        noise = torch.randn(num * dim, generator=generator, dtype=self.means.dtype)
        drawn = self.means.cpu()[flat] + self.stds.cpu()[flat] * noise
        return drawn.reshape(num, dim)

    def flow(self, x: Float[Tensor, "b *s"], t: Times, r: Times) -> Float[Tensor, "b *s"]:
        """Flow map psi_{t->r}(x), in either direction of time; exact in float64."""
        level, _ = self._probability(x, t)
        with torch.no_grad():
            guess = self._inverse(level.detach(), r.detach())
        # One step of Newton carries the derivatives in x, t and r.
        there, density = self._probability(guess.detach(), r)
        return guess.detach() - (there - level) / density.clamp(min=_THIN)

    def ends(
        self, x: Float[Tensor, "b *s"], t: Times
    ) -> tuple[Float[Tensor, "b *s"], Float[Tensor, "b *s"]]:
        """Expectations of noise x0 and data x1 given the state at t."""
        alpha, beta, std, z = self._standardised(x, t)
        share = (self.weights.log() - std.log() - z.square() / 2).softmax(-1)
        noise = (share * alpha * z / std).sum(-1)
        data = (share * (self.means + beta * self.stds.square() * z / std)).sum(-1)
        return noise, data

    def _standardised(self, x: Tensor, t: Times) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha, beta, and each component's spread and standard score, on a last axis."""
        shape = t.shape + (1,) * x.ndim
        alpha = self.interpolant.alpha(t).reshape(shape)
        beta = self.interpolant.beta(t).reshape(shape)
        std = torch.sqrt(alpha.square() + (beta * self.stds).square())
        return alpha, beta, std, (x[..., None] - beta * self.means) / std

    def _probability(self, x: Tensor, t: Times) -> tuple[Tensor, Tensor]:
        """Cumulative probability and density of each coordinate."""
        _, _, std, z = self._standardised(x, t)
        below = (self.weights * torch.special.ndtr(z)).sum(-1)
        bell = torch.exp(-z.square() / 2) / (math.sqrt(2 * math.pi) * std)
        return below, (self.weights * bell).sum(-1)

    def _inverse(self, level: Tensor, r: Times) -> Tensor:
        """Where each coordinate's probability reaches a level, by halving."""
        zero = torch.zeros_like(level)
        _, beta, std, _ = self._standardised(zero, r)
        low = (beta * self.means - _REACH * std).amin(-1) + zero
        high = (beta * self.means + _REACH * std).amax(-1) + zero
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            is_below = self._probability(middle, r)[0] < level
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2
