"""Transformer over latent tokens: symmetry O(3) with the frame turning along.

m(R x, t, r | R frame) = R m(x, t, r | frame), exactly: tokens carry scalars and vectors, and
vectors meet scalars only through invariants. Both times are embedded and the two embeddings
averaged, so that r = t is an ordinary one-time network.

Reference: adaptive normalisation, Peebles & Xie, "DiT", 2023, arXiv:2212.09748; averaged time
embeddings, Li et al., "Cumulative flow maps", 2026, arXiv:2605.03623.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.layers import Invariants, ScalarVectorBlock, VectorLinear, expand_frame
from geoflow.condition import Condition
from geoflow.typing import Times


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the token transformer."""

    frame_size: int = 3
    """Frame vectors given with each shape: 3 (full frame), 1 (up), 0 (none)."""
    num_tokens: int = 16
    """Latent tokens k."""
    scalars: int = 10
    """Latent scalars of a token."""
    vectors: int = 2
    """Latent vectors of a token."""
    num_categories: int = 1
    """Classes to condition on."""
    width: int = 184
    """Scalar channels."""
    vector_width: int = 8
    """Vector channels."""
    blocks: int = 6
    """Transformer blocks."""
    heads: int = 8
    """Attention heads; divides both widths."""
    expansion: int = 2
    """Hidden channels of the feed-forward parts, in units of the width."""
    condition_width: int = 128
    """Channels of the time and category embedding."""
    guided: bool = False
    """Whether guidance is read, and a sample may be of any category."""
    points: bool = False
    """Whether the latent of points that the sample goes through is read, `cond.tokens`."""


class Embedded(NamedTuple):
    """Tokens before the first block, and what every block is given beside them."""

    scalars: Float[Tensor, "b k d"]
    vectors: Float[Tensor, "b k v 3"]
    frame: Float[Tensor, "b m 3"] | None
    modulation: Float[Tensor, "b e"]


class TokenTransformer(nn.Module):
    """Raw field m_{t->r}(x) on packed tokens of scalars and vectors."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, vectors, frame_size = config.width, config.vector_width, config.frame_size
        self.read = Invariants(config.vectors, frame_size)
        self.embed_scalars = nn.Linear(config.scalars + self.read.channels, width)
        self.embed_vectors = VectorLinear(config.vectors, vectors)
        self.position = nn.Parameter(torch.randn(config.num_tokens, width) * 0.5)
        self.condition = ConditionReader(
            config.condition_width,
            num_categories=config.num_categories,
            frame_size=frame_size,
            guided=config.guided,
        )
        # Without an offset: a latent of zeros, where no points are given, adds nothing.
        self.embed_points = nn.Linear(config.scalars, width, bias=False) if config.points else None
        self.blocks = nn.ModuleList(
            ScalarVectorBlock(
                width,
                vectors,
                heads=config.heads,
                frame_size=frame_size,
                expansion=config.expansion,
                modulated=True,
            )
            for _ in range(config.blocks)
        )
        # One modulation for all blocks, each adding its own offset (PixArt's saving).
        self.modulate = nn.Linear(config.condition_width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        self.norm = nn.LayerNorm(width)
        self.to_scalars = nn.Linear(width, config.scalars)
        self.to_gates = nn.Linear(width, vectors)
        self.to_vectors = VectorLinear(vectors, config.vectors)
        coordinates = config.vectors * frame_size
        self.to_frame = nn.Linear(width, coordinates) if coordinates else None

    def forward(
        self, x: Float[Tensor, "b k c"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b k c"]:
        """Packed tokens to packed tokens.

        Raises:
            ValueError: if the condition lacks the frame or names no category of this network.
        """
        s, v, frame, modulation = self.embedded(x, t, r, cond)
        for block in self.blocks:
            s, v = block(s, v, frame, modulation)
        s = self.norm(s)
        out = self.to_vectors(v * self.to_gates(s)[..., None])
        if self.to_frame is not None:
            out = out + expand_frame(self.to_frame(s), frame, self.config.vectors)
        return torch.cat([self.to_scalars(s), out.flatten(-2)], dim=-1)

    def embedded(
        self, x: Float[Tensor, "b k c"], t: Times, r: Times, cond: Condition | None = None
    ) -> Embedded:
        """What the first block reads; errors as of `forward`."""
        config = self.config
        frame = self.condition.frame(cond)
        scalars = x[..., : config.scalars]
        if config.vectors:
            vectors = x[..., config.scalars :].unflatten(-1, (config.vectors, 3))
        else:  # none at all are made, not reshaped: ONNX cannot reshape them for any batch
            vectors = x.new_zeros(*x.shape[:-1], 0, 3)
        s = self.embed_scalars(torch.cat([scalars, self.read(vectors, frame)], dim=-1))
        s, v = s + self.position, self.embed_vectors(vectors)
        if self.embed_points is not None and cond is not None and cond.tokens is not None:
            s = s + self.embed_points(cond.tokens[..., : config.scalars])
        return Embedded(s, v, frame, self.modulate(self.condition(t, r, cond)))
