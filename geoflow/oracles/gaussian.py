"""Exact flow of Gaussian data.

For x1 ~ N(mu, diag(s^2)) the state x_t is N(beta mu, sigma^2), sigma^2 = alpha^2 + beta^2 s^2,
and the flow keeps the number of standard deviations from the mean:

    psi_{t->r}(x) = beta_r mu + (sigma_r / sigma_t) (x - beta_t mu)

Reference: Albergo et al., "Stochastic Interpolants", 2023, arXiv:2303.08797.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.interpolant import Interpolant
from geoflow.oracles.exact import ExactField
from geoflow.times import expand_time
from geoflow.typing import Times


class GaussianField(ExactField):
    """Exact cumulative field of independent Gaussian coordinates."""

    def __init__(
        self,
        mean: Float[Tensor, "*s"],
        std: Float[Tensor, "*s"],
        interpolant: Interpolant,
        prediction: str,
    ) -> None:
        super().__init__(interpolant, prediction)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.mean: Tensor
        self.std: Tensor

    @staticmethod
    def flow_map(
        mean: Float[Tensor, "*s"],
        std: Float[Tensor, "*s"],
        interpolant: Interpolant,
        prediction: str,
    ) -> FlowMap:
        """The exact flow map, as the same class as a learned one."""
        return GaussianField(mean, std, interpolant, prediction).as_flow_map()

    def marginal(
        self, t: Times, *, like: Float[Tensor, "b *s"]
    ) -> tuple[Float[Tensor, "b *m"], Float[Tensor, "b *m"]]:
        """Mean and standard deviation of the state at t, to broadcast with `like`."""
        alpha = expand_time(self.interpolant.alpha(t), like=like)
        beta = expand_time(self.interpolant.beta(t), like=like)
        return beta * self.mean, torch.sqrt(alpha.square() + (beta * self.std).square())

    def flow(self, x: Float[Tensor, "b *s"], t: Times, r: Times) -> Float[Tensor, "b *s"]:
        """Flow map psi_{t->r}(x), in either direction of time."""
        mean_t, std_t = self.marginal(t, like=x)
        mean_r, std_r = self.marginal(r, like=x)
        return mean_r + std_r / std_t * (x - mean_t)

    def ends(
        self, x: Float[Tensor, "b *s"], t: Times
    ) -> tuple[Float[Tensor, "b *s"], Float[Tensor, "b *s"]]:
        """Expectations of noise x0 and data x1 given the state at t."""
        alpha = expand_time(self.interpolant.alpha(t), like=x)
        beta = expand_time(self.interpolant.beta(t), like=x)
        mean, std = self.marginal(t, like=x)
        score = (x - mean) / std.square()
        return alpha * score, self.mean + beta * self.std.square() * score
