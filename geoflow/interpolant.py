"""Interpolants: the path from noise to data.

    x_t = alpha(t) x0 + beta(t) x1,    x0 ~ N(0, I) at t = 0,  x1 data at t = 1

alpha(1) = 0 and beta(1) = 1 hold exactly for every interpolant, in every precision, so that a
map that ends at r = 1 lands on data. Two areas spanned by the coefficients,

    area(t, r) = alpha(t) beta(r) - alpha(r) beta(t),    area_rate(t) = d/dr area(t, r) at r = t,

are all that flow maps need of a path; closed forms keep them accurate when r is close to t.

References: Albergo et al., "Stochastic Interpolants", 2023, arXiv:2303.08797; Lipman et al.,
"Flow Matching for Generative Modeling", 2022, arXiv:2210.02747.
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

# Logarithms to base 10 of the noise, in sizes of the data, that training favours.
_LEVELS = (-2.0, 1.0)
_NUM_LEVELS = 301
_HALVINGS = 50
_EARLIEST = 1e-3


class Interpolant(ABC):
    """Coefficients of a path, their time derivatives, and the path itself."""

    @abstractmethod
    def alpha(self, t: Times) -> Times:
        """Coefficient of the noise."""

    @abstractmethod
    def beta(self, t: Times) -> Times:
        """Coefficient of the data."""

    @abstractmethod
    def alpha_dot(self, t: Times) -> Times:
        """Derivative of `alpha`."""

    @abstractmethod
    def beta_dot(self, t: Times) -> Times:
        """Derivative of `beta`."""

    @abstractmethod
    def area(self, t: Times, r: Times) -> Times:
        """alpha(t) beta(r) - alpha(r) beta(t): zero at r = t, positive for r > t."""

    @abstractmethod
    def area_rate(self, t: Times) -> Times:
        """alpha(t) beta_dot(t) - alpha_dot(t) beta(t)."""

    def interpolate(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """State x_t of the path between noise x0 and data x1."""
        return expand_time(self.alpha(t), like=x0) * x0 + expand_time(self.beta(t), like=x1) * x1

    def velocity(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Velocity dx_t/dt of the path, the conditional velocity of flow matching."""
        return (
            expand_time(self.alpha_dot(t), like=x0) * x0
            + expand_time(self.beta_dot(t), like=x1) * x1
        )

    def clock(self, t: Times) -> Times:
        """What solvers of second order step in: time, or the noise level where it is warped."""
        return t

    def clock_rate(self, t: Times) -> Times:
        """Derivative of `clock`."""
        return torch.ones_like(t)

    def noise_times(self) -> tuple[float, float]:
        """Mean and deviation of the logit of times that favour noise on the data's scale.

        Noise alpha / beta is between 0.01 and 10 times data of unit size, evenly in its logarithm:
        above, nothing of the data shows; below, nothing is missing.
        """
        levels = torch.logspace(*_LEVELS, _NUM_LEVELS, dtype=torch.float64)
        low, high = torch.zeros_like(levels), torch.ones_like(levels)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            is_early = self.alpha(middle) > levels * self.beta(middle)
            low, high = torch.where(is_early, middle, low), torch.where(is_early, high, middle)
        # A path that starts with less noise than 10 has those levels at its start.
        logit = torch.logit(low, eps=_EARLIEST)
        return logit.mean().item(), logit.std().item()


@dataclass(frozen=True)
class Linear(Interpolant):
    """Straight lines: alpha = 1 - t, beta = t.

    Reference: Liu et al., "Flow Straight and Fast", 2022, arXiv:2209.03003.
    """

    def alpha(self, t: Times) -> Times:
        """1 - t."""
        return 1 - t

    def beta(self, t: Times) -> Times:
        """The time itself."""
        return t

    def alpha_dot(self, t: Times) -> Times:
        """-1."""
        return -torch.ones_like(t)

    def beta_dot(self, t: Times) -> Times:
        """1."""
        return torch.ones_like(t)

    def area(self, t: Times, r: Times) -> Times:
        """Elapsed time, r - t."""
        return r - t

    def area_rate(self, t: Times) -> Times:
        """1."""
        return torch.ones_like(t)

    def noise_times(self) -> tuple[float, float]:
        """The logit is minus the logarithm of the noise."""
        return 1.1, 2.0


@dataclass(frozen=True)
class Trigonometric(Interpolant):
    """A quarter circle: alpha = cos(pi t / 2), beta = sin(pi t / 2).

    Reference: TrigFlow, Lu & Song, "Simplifying, Stabilizing and Scaling Continuous-Time
    Consistency Models", 2024, arXiv:2410.11081.
    """

    def alpha(self, t: Times) -> Times:
        """Cosine of the angle, by the sine of its complement: exactly zero at t = 1."""
        return torch.sin(math.pi / 2 * (1 - t))

    def beta(self, t: Times) -> Times:
        """Sine of the angle."""
        return torch.sin(math.pi / 2 * t)

    def alpha_dot(self, t: Times) -> Times:
        """Minus beta times the angular speed."""
        return -math.pi / 2 * torch.sin(math.pi / 2 * t)

    def beta_dot(self, t: Times) -> Times:
        """Alpha times the angular speed."""
        return math.pi / 2 * torch.sin(math.pi / 2 * (1 - t))

    def area(self, t: Times, r: Times) -> Times:
        """Sine of the angle between the two times."""
        return torch.sin(math.pi / 2 * (r - t))

    def area_rate(self, t: Times) -> Times:
        """Angular speed."""
        return torch.full_like(t, math.pi / 2)

    def noise_times(self) -> tuple[float, float]:
        """Chosen by hand, near what is derived."""
        return 1.1, 2.1


@dataclass(frozen=True)
class VariancePreserving(Interpolant):
    """Diffusion on the unit circle: alpha^2 + beta^2 = 1, the path of DDPM and DDIM.

    beta = exp(-h) for the linear rate schedule, h(t) the integrated half rate from t to 1, then
    stretched so that it starts at zero: t = 0 is pure noise. alpha_dot is infinite at t = 1.

    References: Song et al., "Score-Based Generative Modeling through SDEs", 2020,
    arXiv:2011.13456; the stretch, Lin et al., "Common Diffusion Noise Schedules and Sample
    Steps are Flawed", 2023, arXiv:2305.08891.
    """

    beta_min: float = 0.1
    """Rate at the data end."""
    beta_max: float = 20.0
    """Rate at the noise end."""

    def _missing(self, t: Times) -> Times:
        # 1 - beta, by expm1: accurate where beta is close to one.
        return torch.expm1(-self._half_integral(t, torch.ones_like(t))) / self._total()

    def _half_integral(self, t: Times, r: Times) -> Times:
        """Half the rate, integrated from t to r."""
        spread = self.beta_max - self.beta_min
        return (r - t) * (self.beta_min + spread * ((1 - t) + (1 - r)) / 2) / 2

    def _total(self) -> float:
        return math.expm1(-(self.beta_min + self.beta_max) / 4)

    def alpha(self, t: Times) -> Times:
        """Square root of 1 - beta^2."""
        missing = self._missing(t)
        return torch.sqrt(missing * (2 - missing))

    def beta(self, t: Times) -> Times:
        """Signal that the diffusion leaves."""
        # exp(-h) - exp(-h(0)), without the cancellation where little is left.
        grown = torch.expm1(self._half_integral(torch.zeros_like(t), t))
        small = -grown * math.exp(-(self.beta_min + self.beta_max) / 4) / self._total()
        return torch.where(t < 0.5, small, 1 - self._missing(t))

    def alpha_dot(self, t: Times) -> Times:
        """Tangent of the circle."""
        return -self.beta(t) * self.beta_dot(t) / self.alpha(t)

    def beta_dot(self, t: Times) -> Times:
        """Half rate times the unstretched signal, stretched."""
        s = 1 - t
        rate = self.beta_min + (self.beta_max - self.beta_min) * s
        left = torch.exp(-self._half_integral(t, torch.ones_like(t)))
        return -rate / 2 * left / self._total()

    def area(self, t: Times, r: Times) -> Times:
        """Sine of the angle between the two times, by the signal gained: (1 + cosine) / sum."""
        kept = torch.exp(-self._half_integral(r, torch.ones_like(r)))
        gained = kept * torch.expm1(-self._half_integral(t, r)) / self._total()
        alpha_t, alpha_r = self.alpha(t), self.alpha(r)
        total = alpha_t + alpha_r
        cosine = alpha_t * alpha_r + self.beta(t) * self.beta(r)
        sine = gained * (1 + cosine) / torch.where(total == 0, 1.0, total)
        return torch.where(r == 1, alpha_t, sine)

    def area_rate(self, t: Times) -> Times:
        """Angular speed."""
        return self.beta_dot(t) / self.alpha(t)

    def noise_times(self) -> tuple[float, float]:
        """Chosen by hand for the default rates; derived for others."""
        return (2.3, 1.7) if self == VariancePreserving() else super().noise_times()


@dataclass(frozen=True)
class VarianceExploding(Interpolant):
    """Data plus noise of level alpha(t), beta = 1: the path of EDM.

    The level falls from sigma_max by the warp of EDM, shifted so that it ends at zero:

        alpha(t) ~ (sigma_min^(1/rho) + (1 - t) (sigma_max^(1/rho) - sigma_min^(1/rho)))^rho
                   - sigma_min

    The path starts at sigma_max x0 + x1, which a sampler replaces by alpha(0) x0.

    Reference: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", 2022, arXiv:2206.00364, eq. 5.
    """

    sigma_min: float = 0.002
    """Level below which the fall to zero is linear in time."""
    sigma_max: float = 80.0
    """Level at t = 0."""
    rho: float = 7.0
    """Exponent of the warp; larger spends more time at low levels."""

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(
                "noise levels must satisfy 0 < sigma_min < sigma_max, "
                f"got sigma_min={self.sigma_min} and sigma_max={self.sigma_max}"
            )

    def _slope(self) -> float:
        return math.pow(self.sigma_max / self.sigma_min, 1 / self.rho) - 1

    def _unit(self) -> float:
        return self.sigma_max * self.sigma_min / (self.sigma_max - self.sigma_min)

    def alpha(self, t: Times) -> Times:
        """Noise level."""
        # expm1 and log1p keep the relative accuracy of small levels, the power that of large ones.
        warp = self._slope() * (1 - t)
        small = torch.expm1(self.rho * torch.log1p(warp))
        return self._unit() * torch.where(warp > 1, (1 + warp) ** self.rho - 1, small)

    def beta(self, t: Times) -> Times:
        """1."""
        return torch.ones_like(t)

    def alpha_dot(self, t: Times) -> Times:
        """Rate of the noise level."""
        base = 1 + self._slope() * (1 - t)
        return -self._unit() * self.rho * self._slope() * base ** (self.rho - 1)

    def beta_dot(self, t: Times) -> Times:
        """0."""
        return torch.zeros_like(t)

    def area(self, t: Times, r: Times) -> Times:
        """Noise removed between the two times, without the cancellation."""
        base = 1 + self._slope() * (1 - r)
        growth = torch.expm1(self.rho * torch.log1p(self._slope() * (r - t) / base))
        return torch.where(r == 1, self.alpha(t), self._unit() * base**self.rho * growth)

    def area_rate(self, t: Times) -> Times:
        """Rate of removing noise."""
        return -self.alpha_dot(t)

    def clock(self, t: Times) -> Times:
        """The noise level, as in EDM's algorithm 1: trajectories are nearly straight in it."""
        return self.alpha(t)

    def clock_rate(self, t: Times) -> Times:
        """Derivative of the noise level."""
        return self.alpha_dot(t)

    def noise_times(self) -> tuple[float, float]:
        """Chosen by hand for the default levels; derived for others."""
        return (0.8, 1.0) if self == VarianceExploding() else super().noise_times()


INTERPOLANTS: dict[str, type[Interpolant]] = {
    "linear": Linear,
    "vp": VariancePreserving,
    "ve": VarianceExploding,
    "trigonometric": Trigonometric,
}
