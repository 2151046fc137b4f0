"""Predictions: what the network's output m means, for any interpolant.

    psi_{t->r}(x) = P(t, r) m_{t->r}(x) + Q(t, r) x

| prediction | P(t, r)                          | Q(t, r)          | conditional m_t(x | x0, x1) |
|------------|----------------------------------|------------------|-----------------------------|
| u          | r - t                            | 1                | alpha' x0 + beta' x1        |
| x1         | beta_r - alpha_r beta_t/alpha_t  | alpha_r/alpha_t  | x1                          |
| x0         | alpha_r - beta_r alpha_t/beta_t  | beta_r/beta_t    | x0                          |
| v          | sin(phi_r - phi_t)               | cos(phi_r-phi_t) | cos(phi) x1 - sin(phi) x0   |

with phi = atan2(beta, alpha), for interpolants on the circle alpha^2 + beta^2 = 1. P(t, t) = 0
and Q(t, t) = 1 hold in floating point too, and x1-prediction lands on m exactly at r = 1.

References: Li et al., "Cumulative flow maps", 2026, arXiv:2605.03623 (P, Q of u, x1, DDIM and
EDM); Lu & Song, "sCM", 2024, arXiv:2410.11081 (v).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.interpolant import Interpolant
from geoflow.times import expand_time
from geoflow.typing import Times


class Prediction(ABC):
    """The affine form psi = P m + Q x of one prediction over one interpolant."""

    def __init__(self, interpolant: Interpolant) -> None:
        self.interpolant = interpolant

    @abstractmethod
    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """P(t, r) and Q(t, r)."""

    @abstractmethod
    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """The instantaneous field of one pair, whose conditional expectation is m_t."""

    def from_derivatives(self, t: Times, r: Times) -> tuple[Times, Times]:
        """dP/dt and dQ/dt, at fixed r."""
        tangent = torch.ones_like(t)
        return torch.func.jvp(lambda s: self.coefficients(s, r), (t,), (tangent,))[1]

    def to_derivatives(self, t: Times, r: Times) -> tuple[Times, Times]:
        """dP/dr and dQ/dr, at fixed t."""
        tangent = torch.ones_like(r)
        return torch.func.jvp(lambda s: self.coefficients(t, s), (r,), (tangent,))[1]

    def velocity(
        self, m: Float[Tensor, "b *s"], x: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Velocity b_t(x) = d psi / dr at r = t, from the instantaneous field m_t(x)."""
        p, q = self.to_derivatives(t, t)
        return expand_time(p, like=m) * m + expand_time(q, like=x) * x


class Velocity(Prediction):
    """u: the average velocity between t and r."""

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """r - t and 1."""
        return r - t, 1.0 + 0.0 * (r - t)

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Velocity of the pair."""
        return self.interpolant.velocity(x0, x1, t)


class Data(Prediction):
    """x1: the clean data; DDIM's form on a variance-preserving path, EDM's on an exploding one."""

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """beta_r - alpha_r beta_t / alpha_t and alpha_r / alpha_t."""
        shrink = self.interpolant.alpha(r) / self.interpolant.alpha(t)
        return self.interpolant.beta(r) - self.interpolant.beta(t) * shrink, shrink

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """The data point."""
        return x1


class Noise(Prediction):
    """x0 (epsilon): the noise. Undefined where beta_t = 0, at t = 0 of linear paths."""

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """alpha_r - beta_r alpha_t / beta_t and beta_r / beta_t."""
        grow = self.interpolant.beta(r) / self.interpolant.beta(t)
        return self.interpolant.alpha(r) - self.interpolant.alpha(t) * grow, grow

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """The noise."""
        return x0


class Angular(Prediction):
    """v: the velocity on the circle, per radian."""

    def __init__(self, interpolant: Interpolant) -> None:
        super().__init__(interpolant)
        t = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)
        radius = interpolant.alpha(t) ** 2 + interpolant.beta(t) ** 2
        if not torch.allclose(radius, torch.ones_like(radius), atol=1e-6):
            raise ValueError(
                "prediction 'v' needs an interpolant with alpha^2 + beta^2 = 1 "
                f"('vp' or 'trigonometric'), got {type(interpolant).__name__}"
            )

    def angle(self, t: Times) -> Times:
        """phi = atan2(beta, alpha), from 0 (noise) to pi / 2 (data)."""
        return torch.atan2(self.interpolant.beta(t), self.interpolant.alpha(t))

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """Sine and cosine of the angle between."""
        between = self.angle(r) - self.angle(t)
        return between.sin(), between.cos()

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """beta-weighted noise taken from alpha-weighted data."""
        alpha, beta = self.interpolant.alpha(t), self.interpolant.beta(t)
        return expand_time(alpha, like=x1) * x1 - expand_time(beta, like=x0) * x0


PREDICTIONS: dict[str, type[Prediction]] = {
    "u": Velocity,
    "x1": Data,
    "x0": Noise,
    "v": Angular,
}
