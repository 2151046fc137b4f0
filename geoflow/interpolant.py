"""Interpolants between noise x0 and data x1.

    x_t = alpha_t x0 + beta_t x1,    t in [0, 1], 0 = noise, 1 = data

References: linear, Lipman et al., "Flow matching", 2023, arXiv:2210.02747; variance preserving
and exploding, Song et al., 2021, arXiv:2011.13456 and Karras et al., "EDM", 2022,
arXiv:2206.00364; trigonometric, Albergo et al., "Stochastic interpolants", 2023,
arXiv:2303.08797.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.times import expand_time
from geoflow.typing import Times


class Interpolant(ABC):
    """Coefficients of noise and data, and their time derivatives, at times of shape (b,)."""

    @abstractmethod
    def alpha(self, t: Times) -> Times:
        """Coefficient of the noise; zero, or the smallest noise level, at t = 1."""

    @abstractmethod
    def beta(self, t: Times) -> Times:
        """Coefficient of the data."""

    def alpha_dot(self, t: Times) -> Times:
        """Time derivative of alpha."""
        return torch.func.jvp(self.alpha, (t,), (torch.ones_like(t),))[1]

    def beta_dot(self, t: Times) -> Times:
        """Time derivative of beta."""
        return torch.func.jvp(self.beta, (t,), (torch.ones_like(t),))[1]

    def interpolate(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """State x_t of the pair (x0, x1)."""
        return expand_time(self.alpha(t), like=x0) * x0 + expand_time(self.beta(t), like=x1) * x1

    def velocity(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Conditional velocity d x_t / dt of the pair (x0, x1)."""
        alpha_dot, beta_dot = self.alpha_dot(t), self.beta_dot(t)
        return expand_time(alpha_dot, like=x0) * x0 + expand_time(beta_dot, like=x1) * x1


@dataclass(frozen=True)
class Linear(Interpolant):
    """alpha = 1 - t, beta = t."""

    def alpha(self, t: Times) -> Times:
        """1 - t."""
        return 1.0 - t

    def beta(self, t: Times) -> Times:
        """The time itself."""
        # A product, not t: forward-mode derivatives must see an operation.
        return 1.0 * t


@dataclass(frozen=True)
class VariancePreserving(Interpolant):
    """alpha^2 + beta^2 = 1 with beta^2 = exp(-(a u + (b - a) u^2 / 2)), u = 1 - t.

    The continuous form of the linear DDPM schedule. d alpha / dt is infinite at t = 1.
    """

    beta_min: float = 0.1
    """Rate a of the schedule at the data end."""
    beta_max: float = 20.0
    """Rate b of the schedule at the noise end."""

    def _exponent(self, t: Times) -> Times:
        u = 1.0 - t
        return self.beta_min * u + 0.5 * (self.beta_max - self.beta_min) * u * u

    def alpha(self, t: Times) -> Times:
        """Square root of 1 - beta^2, by expm1 to keep its accuracy near the data."""
        return (-torch.expm1(-self._exponent(t))).clamp_min(0.0).sqrt()

    def beta(self, t: Times) -> Times:
        """Square root of the cumulative product of the DDPM schedule."""
        return (-0.5 * self._exponent(t)).exp()


@dataclass(frozen=True)
class VarianceExploding(Interpolant):
    """beta = 1, alpha = sigma(t) from sigma_max to sigma_min, EDM's rho-warped noise levels."""

    sigma_max: float = 80.0
    """Noise level at t = 0, in units of the data."""
    sigma_min: float = 0.002
    """Noise level at t = 1."""
    rho: float = 7.0
    """Warp of the levels; EDM uses 7."""

    def alpha(self, t: Times) -> Times:
        """Noise level at t."""
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return (high + t * (low - high)) ** self.rho

    def beta(self, t: Times) -> Times:
        """One."""
        return 1.0 + 0.0 * t


@dataclass(frozen=True)
class Trigonometric(Interpolant):
    """alpha = cos(pi t / 2), beta = sin(pi t / 2)."""

    def alpha(self, t: Times) -> Times:
        """Cosine, written so that t = 1 gives zero exactly."""
        return (0.5 * math.pi * (1.0 - t)).sin()

    def beta(self, t: Times) -> Times:
        """Sine."""
        return (0.5 * math.pi * t).sin()


INTERPOLANTS: dict[str, type[Interpolant]] = {
    "linear": Linear,
    "vp": VariancePreserving,
    "ve": VarianceExploding,
    "trigonometric": Trigonometric,
}
