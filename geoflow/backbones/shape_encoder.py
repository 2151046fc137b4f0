"""Encoder of shapes: surface points to latent tokens; symmetry E(3) with a frame that turns along.

Tokens carry scalars and vectors about a centre; the order of the points does not matter.

Reference: latent-set encoders, Zhang et al., "3DShape2VecSet", 2023, arXiv:2301.11445.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.layers import (
    ScalarVectorBlock,
    VectorLinear,
    attend,
    fourier,
    frame_coordinates,
    safe_norm,
)

# Vectors pooled from the points, read beside the frame where the frame does not span the space.
_POOLED = 4
# What the box of a surface may differ by from that of its points: logarithm of the size, and
# centre.
_RESIZED, _SHIFTED = 0.5, 0.5


class Box(NamedTuple):
    """Of a surface, in its frame."""

    centre: Float[Tensor, "b 3"]
    half: Float[Tensor, " b"]
    """Longest half extent."""


@dataclass(frozen=True)
class ShapeConfig:
    """Sizes of an autoencoder of shapes."""

    frame_size: int = 3
    """Frame vectors given with each shape: 3 (full frame), 1 (up), 0 (none)."""
    num_tokens: int = 16
    """Latent tokens k."""
    scalars: int = 10
    """Latent scalars of a token."""
    vectors: int = 2
    """Latent vectors of a token."""
    normals: bool = True
    """Whether the encoder reads the normals of its points."""
    scans: bool = False
    """Whether there is a second encoder, of points as scans have them; in a full frame."""
    encoder_width: int = 144
    """Scalar channels of the encoder and of the decoder's context."""
    encoder_blocks: int = 2
    """Self-attention blocks after each of the encoder's two readings of the points."""
    context_blocks: int = 2
    """Self-attention blocks between the latent and the decoder's modulation."""
    decoder_width: int = 224
    """Hidden width of the decoder."""
    decoder_layers: int = 4
    """Residual layers of the decoder, two matrix products each."""
    heads: int = 8
    """Attention heads."""
    frequencies: int = 5
    """Octaves of the Fourier features of coordinates."""
    noise: float = 0.1
    """Standard deviation of the Gaussian added to the latent in training."""

    @property
    def channels(self) -> int:
        """Numbers of one packed token: scalars, then vectors times 3."""
        return self.scalars + 3 * self.vectors


class _Reading(nn.Module):
    """Tokens attend to the points, then to each other."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        width, vectors = config.encoder_width, config.heads
        self.heads = config.heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.arrows = 2 if config.normals else 1
        self.vector_gates = nn.Linear(width, self.arrows * vectors)
        self.scalar_out = nn.Linear(width, width)
        self.vector_out = VectorLinear(vectors, vectors)
        self.blocks = nn.ModuleList(
            ScalarVectorBlock(width, vectors, heads=config.heads, frame_size=config.frame_size)
            for _ in range(config.encoder_blocks)
        )

    def forward(
        self,
        s: Float[Tensor, "b k d"],
        v: Float[Tensor, "b k c 3"],
        features: Float[Tensor, "b n d"],
        arrows: Float[Tensor, "b n a 3"],
        frame: Float[Tensor, "b m 3"] | None,
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        keys, values = self.key_value(features).chunk(2, dim=-1)
        gates = self.vector_gates(features).unflatten(-1, (-1, self.arrows))
        vector_values = gates @ arrows
        ds, dv = attend(self.query(self.norm(s)), keys, values, vector_values, self.heads)
        s, v = s + self.scalar_out(ds), v + self.vector_out(dv)
        for block in self.blocks:
            s, v = block(s, v, frame)
        return s, v


class Encoder(nn.Module):
    """Surface points and normals to latent tokens; invariant to the order of the points."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        width, vectors = config.encoder_width, config.heads
        arrows, plain = (2, 3) if config.normals else (1, 2)
        self.pooled = _POOLED if config.frame_size < 3 else 0
        if self.pooled:
            self.pool = nn.Sequential(
                nn.Linear(plain, 64), nn.SiLU(), nn.Linear(64, arrows * self.pooled)
            )
        references = config.frame_size + self.pooled
        channels = references * (arrows + 2 * config.frequencies) + plain
        self.embed = nn.Sequential(
            nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, width), nn.LayerNorm(width)
        )
        self.queries = nn.Parameter(torch.randn(config.num_tokens, width))
        self.readings = nn.ModuleList(_Reading(config) for _ in range(2))
        self.start = VectorLinear(1, vectors)
        self.to_scalars = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.scalars))
        self.to_vectors = VectorLinear(vectors, config.vectors)

    def forward(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        frame: Float[Tensor, "b m 3"] | None,
        centre: Float[Tensor, "b 3"],
    ) -> Float[Tensor, "b k c"]:
        """Packed tokens, each of unit root mean square.

        Raises:
            ValueError: if normals are missing, or given to an encoder that does not read them.
        """
        return self._packed(*self._read(surface, normals, frame, centre))

    def _packed(
        self, s: Float[Tensor, "b k d"], v: Float[Tensor, "b k c 3"]
    ) -> Float[Tensor, "b k e"]:
        packed = torch.cat([self.to_scalars(s), self.to_vectors(v).flatten(-2)], dim=-1)
        return packed * (packed.square().mean(-1, keepdim=True) + 1e-6).rsqrt()

    def _read(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        frame: Float[Tensor, "b m 3"] | None,
        centre: Float[Tensor, "b 3"],
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        """Scalars and vectors of the tokens."""
        if (normals is not None) != self.config.normals:
            wants = "reads" if self.config.normals else "does not read"
            raise ValueError(f"this encoder {wants} normals, got {type(normals).__name__}")
        relative = surface - centre[:, None]
        given = [relative] if normals is None else [relative, normals]
        radius = safe_norm(relative)[..., None]
        products = [(relative * normal).sum(-1, keepdim=True) for normal in given[1:]]
        plain = torch.cat([radius, *products, radius.square()], dim=-1)
        references = frame
        if self.pooled:
            weights = self.pool(plain).unflatten(-1, (len(given), -1)).softmax(1)
            pooled = torch.einsum("bnaj,bani->bji", weights, torch.stack(given, 1))
            references = pooled if frame is None else torch.cat([frame, pooled], dim=1)
        position = frame_coordinates(relative, references)
        features = [fourier(position, self.config.frequencies)]
        features += [frame_coordinates(normal, references) for normal in given[1:]]
        points = self.embed(torch.cat([*features, plain], dim=-1))
        s = self.queries.expand(len(surface), -1, -1)
        v = self.start(relative.mean(1)[:, None, None]).expand(-1, s.shape[1], -1, -1)
        arrows = torch.stack(given, dim=-2)
        for reading in self.readings:
            s, v = reading(s, v, points, arrows, frame)
        return s, v


class ScanEncoder(Encoder):
    """Of points as scans have them: without normals, too, which are then of length 0.

    It also tells the box of the surface that the points are of; one that has learnt nothing tells
    that of points in a unit box.
    """

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__(config)
        self.box_size = nn.Linear(config.encoder_width, 1)
        self.box_centre = VectorLinear(config.heads, 1)
        for parameter in (*self.box_size.parameters(), *self.box_centre.parameters()):
            nn.init.zeros_(parameter)

    def forward(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        frame: Float[Tensor, "b m 3"] | None,
        centre: Float[Tensor, "b 3"],
    ) -> Float[Tensor, "b k c"]:
        """Packed tokens, each of unit root mean square."""
        return self.with_box(surface, normals, frame, centre)[0]

    def with_box(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        frame: Float[Tensor, "b m 3"] | None,
        centre: Float[Tensor, "b 3"],
    ) -> tuple[Float[Tensor, "b k c"], Box]:
        """The same, and the box of the whole surface."""
        known = torch.zeros_like(surface) if normals is None else normals
        s, v = self._read(surface, known, frame, centre)
        shift = self.box_centre(v.mean(1))[:, 0]
        shift = _SHIFTED * shift / (1 + safe_norm(shift)[:, None])
        half = (_RESIZED * self.box_size(s.mean(1))[:, 0].tanh()).exp()
        return self._packed(s, v), Box(centre + shift, half)
