"""Noise that is a function: Gaussian, stationary and isotropic, with a value at every place.

    g(p) = sqrt(1 / M) sum_j [a_j cos(w_j p) + b_j sin(w_j p)],    a_j, b_j ~ N(0, 1)

Given the frequencies w_j it is exactly Gaussian, of variance 1, with covariance
mean_j cos(w_j (p - q)); that is the kernel exp(-|p - q|^2 / 2 length^2) in expectation over
w_j ~ N(0, 1 / length^2), to 1 / sqrt(M). So noise has the unit variance that flow maps expect.

Functional diffusion takes independent values on a grid of 64^3, interpolated. Here the noise is
smooth instead, on the scale `length` at which a few dozen places tell it everywhere: what is not
in the network's context could not be carried to a field by a map that sees the context alone.

References: Rahimi & Recht, "Random Features for Large-Scale Kernel Machines", 2007; Zhang &
Wonka, "Functional Diffusion", 2023, arXiv:2311.15435.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LENGTH = 0.5
"""Distance at which the noise forgets, in half extents."""
FEATURES = 256
"""Frequencies of one function."""


@dataclass(frozen=True)
class RandomFunction:
    """A function for each example of a batch."""

    frequencies: Float[Tensor, "b m 3"]
    weights: Float[Tensor, "b two_m"]
    """Of the cosines, then of the sines."""

    @staticmethod
    def draw(
        num: int,
        *,
        length: float = LENGTH,
        features: int = FEATURES,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> RandomFunction:
        """Functions with frequencies of their own.

        Raises:
            ValueError: for a length that is not above 0.
        """
        if not length > 0:
            raise ValueError(f"length must be above 0, got {length}")
        frequencies = torch.randn(num, features, 3, generator=generator, dtype=dtype) / length
        weights = torch.randn(num, 2 * features, generator=generator, dtype=dtype)
        return RandomFunction(frequencies, weights)

    def __call__(self, places: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n"]:
        """Values at places."""
        phase = torch.einsum("bni,bmi->bnm", places, self.frequencies)
        waves = torch.cat([phase.cos(), phase.sin()], dim=-1)
        values = torch.einsum("bnm,bm->bn", waves, self.weights)
        return values / math.sqrt(self.frequencies.shape[1])

    def covariance(
        self, p: Float[Tensor, "b n 3"], q: Float[Tensor, "b k 3"]
    ) -> Float[Tensor, "b n k"]:
        """Covariance of the values at p and q, given the frequencies."""
        apart = p[:, :, None] - q[:, None]
        return torch.einsum("bnki,bmi->bnkm", apart, self.frequencies).cos().mean(-1)


def kernel(
    p: Float[Tensor, "*s 3"], q: Float[Tensor, "*s 3"], *, length: float = LENGTH
) -> Float[Tensor, "*s"]:
    """exp(-|p - q|^2 / 2 length^2), the covariance over all frequencies."""
    return torch.exp(-(p - q).square().sum(-1) / (2 * length**2))
