"""Centring and scaling of latent tokens: symmetry O(3) with the frame turning along.

    x = (z - mean) / scale

Scalars have a mean and a scale of their own; a vector's mean may only lie along the frame, and
its three components share one scale, so that rotating z and the frame rotates x.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.layers import frame_coordinates


class LatentScale(nn.Module):
    """Affine map between the autoencoder's latents and the unit-variance space of the flow."""

    def __init__(self, num_tokens: int, scalars: int, vectors: int, frame_size: int) -> None:
        super().__init__()
        self.scalars, self.vectors = scalars, vectors
        self.register_buffer("scalar_mean", torch.zeros(num_tokens, scalars))
        self.register_buffer("vector_mean", torch.zeros(num_tokens, vectors, frame_size))
        self.register_buffer("scale", torch.ones(num_tokens, scalars + 3 * vectors))
        self.scalar_mean: Tensor
        self.vector_mean: Tensor
        self.scale: Tensor

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` set it, here or where it was stored."""
        return bool((self.scale != 1).any())

    @torch.no_grad()
    def fit(self, tokens: Float[Tensor, "n k c"], frame: Float[Tensor, "n m 3"] | None) -> None:
        """Set mean and scale from latents.

        Raises:
            ValueError: for fewer than two latents, which have no spread.
        """
        if len(tokens) < 2:
            raise ValueError(f"at least 2 latents are needed to scale them, got {len(tokens)}")
        vectors = tokens[..., self.scalars :].unflatten(-1, (self.vectors, 3))
        self.scalar_mean.copy_(tokens[..., : self.scalars].mean(0))
        if frame is not None:
            self.vector_mean.copy_(frame_coordinates(vectors, frame).mean(0))
        centred = tokens - self._mean(frame, len(tokens))
        spread = centred.square().mean(0)
        along = spread[:, self.scalars :].unflatten(-1, (self.vectors, 3)).mean(-1, keepdim=True)
        shared = along.expand(-1, -1, 3).flatten(-2)
        self.scale.copy_(torch.cat([spread[:, : self.scalars], shared], dim=-1).sqrt() + 1e-4)

    def normalise(
        self, tokens: Float[Tensor, "b k c"], frame: Float[Tensor, "b m 3"] | None
    ) -> Float[Tensor, "b k c"]:
        """Latents of the autoencoder to states of the flow at t = 1."""
        return (tokens - self._mean(frame, len(tokens))) / self.scale

    def denormalise(
        self, x: Float[Tensor, "b k c"], frame: Float[Tensor, "b m 3"] | None
    ) -> Float[Tensor, "b k c"]:
        """States of the flow at t = 1 to latents of the autoencoder."""
        return x * self.scale + self._mean(frame, x.shape[0])

    def _mean(self, frame: Tensor | None, num: int) -> Float[Tensor, "b k c"]:
        scalars = self.scalar_mean.expand(num, -1, -1)
        if frame is None:
            vectors = scalars.new_zeros(num, scalars.shape[1], 3 * self.vectors)
        else:
            vectors = torch.einsum("kvm,bmi->bkvi", self.vector_mean, frame).flatten(-2)
        return torch.cat([scalars, vectors], dim=-1)
