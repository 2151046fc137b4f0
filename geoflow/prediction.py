"""Predictions: what the network outputs, and the affine map that turns it into a flow map.

    psi_{t->r}(x) = P(t, r) m_{t->r}(x) + Q(t, r) x,        P(t, t) = 0,  Q(t, t) = 1

On the diagonal m_{t->t} is the instantaneous field, which gives the velocity of the flow,

    b_t(x) = p(t) m_{t->t}(x) + q(t) x,        p = dP/dr,  q = dQ/dr  at r = t.

With area and area_rate of the interpolant, written A(t, r) and W(t), and n^2 = alpha^2 + beta^2:

    field           P              Q                                     m given (x0, x1)
    u   velocity    r - t          1                                     alpha' x0 + beta' x1
    x1  data        A / alpha_t    alpha_r / alpha_t                     x1
    x0  noise       -A / beta_t    beta_r / beta_t                       x0
    v   rotation    A / n_t        (alpha_t alpha_r + beta_t beta_r)     (alpha x1 - beta x0) / n
                                   / n_t^2

All four obey dP/dt = -p Q and dQ/dt = p S - q Q. But for v, S = 0, and the cumulative field is
the average of the instantaneous field along the trajectory in a clock of its own: t for u,
beta / alpha for x1, alpha / beta for x0.

References: Li et al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026,
arXiv:2605.03623, for u, x1 and noise levels; Salimans & Ho, "Progressive Distillation", 2022,
arXiv:2202.00512, for v.
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
    """The affine form psi = P m + Q x of one meaning of the output, over one interpolant."""

    def __init__(self, interpolant: Interpolant) -> None:
        self.interpolant = interpolant

    @abstractmethod
    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """P and Q of psi = P m + Q x."""

    @abstractmethod
    def rates(self, t: Times) -> tuple[Times, Times]:
        """The factors p and q of b = p m + q x."""

    @abstractmethod
    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Instantaneous field given both ends; its mean given x_t is the field to learn."""

    @abstractmethod
    def turning(self, t: Times) -> Times:
        """How far the field is from having a clock: 1 / n^2 for v, else 0."""

    def velocity(
        self, m: Float[Tensor, "b *s"], x: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Velocity b_t(x) = p m + q x of the instantaneous field m."""
        p, q = self.rates(t)
        return expand_time(p, like=x) * m + expand_time(q, like=x) * x

    def inverse_rates(self, t: Times) -> tuple[Times, Times]:
        """The factors 1 / p and q / p of m = (1 / p) b - (q / p) x, the field of a velocity.

        Where p is infinite, the limits: of x1 at t = 1, of x0 at t = 0; not finite where there is
        none.
        """
        p, q = self.rates(t)
        return 1 / p, q / p

    def of_velocity(
        self, velocity: Float[Tensor, "b *s"], x: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Instantaneous field m that has a velocity: `velocity` solved for m."""
        gain, shift = self.inverse_rates(t)
        return expand_time(gain, like=x) * velocity - expand_time(shift, like=x) * x

    def residual_weights(self, t: Times, r: Times) -> tuple[Times, Times, Times]:
        """Weights Q, C and S of the cumulative identity, for t < 1.

        Q (m_{t->r} - m_t) = C D m_{t->r} + S x holds for the field of every flow, D being the
        derivative in t along its trajectory. None is singular at r = 1.
        """
        p, _ = self.rates(t)
        coefficient, q = self.coefficients(t, r)
        area, rate = self.interpolant.area(t, r), self.interpolant.area_rate(t)
        return q, coefficient / p, area * rate * self.turning(t).square() / p

    def average_weights(self, t: Times, s: Times, r: Times) -> tuple[Times, Times, Times]:
        """Weights of the averaging law, for t <= s <= r and t < r.

        m_{t->r}(x) = w1 m_{t->s}(x) + w2 m_{s->r}(psi_{t->s}(x)) + w3 x holds for the field of
        every flow. But for v, w1 + w2 = 1 and w3 = 0.
        """
        p_tr, _ = self.coefficients(t, r)
        p_ts, _ = self.coefficients(t, s)
        p_sr, q_sr = self.coefficients(s, r)
        # Q(s, r) Q(t, s) - Q(t, r), without the cancellation.
        areas = self.interpolant.area(t, s) * self.interpolant.area(s, r)
        rest = areas * self.turning(t) * self.turning(s)
        return q_sr * p_ts / p_tr, p_sr / p_tr, rest / p_tr


class Velocity(Prediction):
    """The network outputs the average velocity.

    Reference: Geng et al., "Mean Flows for One-step Generative Modeling", 2025,
    arXiv:2505.13447.
    """

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """Elapsed time and 1."""
        return r - t, torch.ones_like(t)

    def rates(self, t: Times) -> tuple[Times, Times]:
        """1 and 0."""
        return torch.ones_like(t), torch.zeros_like(t)

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """Velocity of the path."""
        return self.interpolant.velocity(x0, x1, t)

    def turning(self, t: Times) -> Times:
        """0."""
        return torch.zeros_like(t)


class Data(Prediction):
    """The network outputs data: psi_{t->1} = m exactly."""

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """A / alpha_t and alpha_r / alpha_t."""
        alpha = self.interpolant.alpha(t)
        shrink = _ratio(self.interpolant.alpha(r), alpha, 1.0)
        return _ratio(self.interpolant.area(t, r), alpha, 0.0), shrink

    def rates(self, t: Times) -> tuple[Times, Times]:
        """W / alpha and alpha' / alpha; infinite at t = 1."""
        alpha = self.interpolant.alpha(t)
        return self.interpolant.area_rate(t) / alpha, self.interpolant.alpha_dot(t) / alpha

    def inverse_rates(self, t: Times) -> tuple[Times, Times]:
        """Alpha / W and alpha' / W: 0 and -1 at t = 1, where alpha' is finite."""
        rate = self.interpolant.area_rate(t)
        return self.interpolant.alpha(t) / rate, self.interpolant.alpha_dot(t) / rate

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """The data."""
        return x1

    def turning(self, t: Times) -> Times:
        """0."""
        return torch.zeros_like(t)


class Noise(Prediction):
    """The network outputs noise; infinite coefficients where beta(t) = 0 and r > t."""

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """-A / beta_t and beta_r / beta_t."""
        beta = self.interpolant.beta(t)
        grow = _ratio(self.interpolant.beta(r), beta, 1.0)
        return _ratio(-self.interpolant.area(t, r), beta, 0.0), grow

    def rates(self, t: Times) -> tuple[Times, Times]:
        """-W / beta and beta' / beta."""
        beta = self.interpolant.beta(t)
        return -self.interpolant.area_rate(t) / beta, self.interpolant.beta_dot(t) / beta

    def inverse_rates(self, t: Times) -> tuple[Times, Times]:
        """-beta / W and -beta' / W: 0 and -1 at t = 0, where beta begins at 0."""
        rate = -self.interpolant.area_rate(t)
        return self.interpolant.beta(t) / rate, self.interpolant.beta_dot(t) / rate

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """The noise."""
        return x0

    def turning(self, t: Times) -> Times:
        """0."""
        return torch.zeros_like(t)


class Angular(Prediction):
    """The network outputs v, the path's tangent once its coefficients are put on a circle.

    Coefficients are finite at both ends of every path. On the trigonometric path P and Q are
    the sine and cosine of the angle between the two times.
    """

    def coefficients(self, t: Times, r: Times) -> tuple[Times, Times]:
        """A / n_t and (alpha_t alpha_r + beta_t beta_r) / n_t^2."""
        alpha, beta = self.interpolant.alpha(t), self.interpolant.beta(t)
        square = alpha.square() + beta.square()
        product = alpha * self.interpolant.alpha(r) + beta * self.interpolant.beta(r)
        return self.interpolant.area(t, r) / square.sqrt(), product / square

    def rates(self, t: Times) -> tuple[Times, Times]:
        """W / n and n' / n."""
        alpha, beta = self.interpolant.alpha(t), self.interpolant.beta(t)
        square = alpha.square() + beta.square()
        growth = alpha * self.interpolant.alpha_dot(t) + beta * self.interpolant.beta_dot(t)
        return self.interpolant.area_rate(t) / square.sqrt(), growth / square

    def conditional(
        self, x0: Float[Tensor, "b *s"], x1: Float[Tensor, "b *s"], t: Times
    ) -> Float[Tensor, "b *s"]:
        """(alpha x1 - beta x0) / n."""
        alpha, beta = self.interpolant.alpha(t), self.interpolant.beta(t)
        length = torch.sqrt(alpha.square() + beta.square())
        return expand_time(alpha / length, like=x1) * x1 - expand_time(beta / length, like=x0) * x0

    def turning(self, t: Times) -> Times:
        """1 / n^2."""
        return 1 / (self.interpolant.alpha(t).square() + self.interpolant.beta(t).square())


PREDICTIONS: dict[str, type[Prediction]] = {
    "u": Velocity,
    "x1": Data,
    "x0": Noise,
    "v": Angular,
}


def _ratio(numerator: Tensor, denominator: Tensor, empty: float) -> Tensor:
    """The quotient, with 0 / 0 = empty: the limit r -> t at an end of the path."""
    is_empty = (numerator == 0) & (denominator == 0)
    quotient = numerator / torch.where(is_empty, 1.0, denominator)
    return torch.where(is_empty, empty, quotient)
