"""Transformer over point sets: symmetry O(3) with a frame that turns along, and permutations.

m(R x_pi, t, r | R frame) = R m(x, t, r | frame)_pi, exactly. A few tokens of scalars and vectors
read the points, talk to each other, and are read by the points: time and memory grow with the
number of points, not with its square, and a set may have any size.

References: inducing points, Lee et al., "Set Transformer", 2019, arXiv:1810.00825; two streams,
Jabri et al., "Scalable Adaptive Computation for Iterative Generation" (RIN), 2022,
arXiv:2212.11972; Huang et al., "PointInfinity", 2024, arXiv:2404.03566.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.layers import (
    ScalarVectorBlock,
    ScalarVectorMLP,
    VectorLinear,
    VectorNorm,
    attend,
    expand_frame,
    fourier,
    frame_coordinates,
    safe_norm,
)
from geoflow.condition import Condition
from geoflow.typing import Times


@dataclass(frozen=True)
class PointTransformerConfig:
    """Sizes of the point transformer."""

    frame_size: int = 3
    """Frame vectors given with each set: 3 (full frame), 1 (up), 0 (none)."""
    num_categories: int = 1
    """Classes to condition on."""
    width: int = 64
    """Scalar channels of a point."""
    token_width: int = 128
    """Scalar channels of a token."""
    vector_width: int = 8
    """Vector channels of points and tokens."""
    num_tokens: int = 32
    """Tokens that the points speak through."""
    blocks: int = 3
    """Rounds of reading, thinking and answering."""
    heads: int = 4
    """Attention heads; divides all widths."""
    frequencies: int = 3
    """Octaves of the Fourier features of coordinates."""
    condition_width: int = 128
    """Channels of the time and category embedding."""


class _Exchange(nn.Module):
    """One set of scalars and vectors reads another by attention."""

    def __init__(self, readers: int, read: int, vectors: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_readers, self.norm_read = nn.LayerNorm(readers), nn.LayerNorm(read)
        self.norm_vectors = VectorNorm(vectors)
        narrow = min(readers, read)
        self.query = nn.Linear(readers, narrow)
        self.key_value = nn.Linear(read, 2 * narrow)
        self.vector_values = VectorLinear(vectors, vectors)
        self.scalar_out = nn.Linear(narrow, readers)
        self.vector_out = VectorLinear(vectors, vectors)

    def forward(
        self,
        s: Float[Tensor, "b k d"],
        v: Float[Tensor, "b k c 3"],
        others: Float[Tensor, "b n e"],
        their_vectors: Float[Tensor, "b n c 3"],
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        keys, values = self.key_value(self.norm_read(others)).chunk(2, dim=-1)
        vectors = self.vector_values(self.norm_vectors(their_vectors))
        ds, dv = attend(self.query(self.norm_readers(s)), keys, values, vectors, self.heads)
        return s + self.scalar_out(ds), v + self.vector_out(dv)


class _Round(nn.Module):
    def __init__(self, config: PointTransformerConfig) -> None:
        super().__init__()
        points, tokens, vectors = config.width, config.token_width, config.vector_width
        self.read = _Exchange(tokens, points, vectors, config.heads)
        self.think = ScalarVectorBlock(
            tokens, vectors, heads=config.heads, frame_size=config.frame_size, modulated=True
        )
        self.answer = _Exchange(points, tokens, vectors, config.heads)
        self.update = ScalarVectorMLP(
            points, vectors, frame_size=config.frame_size, expansion=2, modulated=True
        )
        self.modulate = nn.Linear(config.condition_width, 6 * tokens + 3 * points)
        self.sizes = [6 * tokens, points, points, points]

    def forward(
        self,
        points: tuple[Tensor, Tensor],
        tokens: tuple[Tensor, Tensor],
        frame: Tensor | None,
        condition: Float[Tensor, "b d"],
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        of_tokens, shift, scale, gate = self.modulate(condition).split(self.sizes, dim=-1)
        tokens = self.think(*self.read(*tokens, *points), frame, of_tokens)
        s, v = self.answer(*points, *tokens)
        points = self.update.feed_forward(
            s,
            v,
            frame,
            shift=shift[:, None],
            scale=scale[:, None],
            gate=1 + gate[:, None],
        )
        return points, tokens


class PointTransformer(nn.Module):
    """Raw field m_{t->r}(x) of point sets."""

    def __init__(self, config: PointTransformerConfig) -> None:
        super().__init__()
        self.config = config
        coordinates = config.frame_size * (1 + 2 * config.frequencies) + 1
        self.embed = nn.Linear(coordinates, config.width)
        self.start = VectorLinear(1, config.vector_width)
        self.queries = nn.Parameter(torch.randn(config.num_tokens, config.token_width))
        self.condition = ConditionReader(
            config.condition_width,
            num_categories=config.num_categories,
            frame_size=config.frame_size,
        )
        self.rounds = nn.ModuleList(_Round(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.to_gates = nn.Linear(config.width, config.vector_width + 1 + config.frame_size)
        self.to_vector = VectorLinear(config.vector_width, 1)

    def forward(
        self, x: Float[Tensor, "b n 3"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b n 3"]:
        """Points to vectors.

        Raises:
            ValueError: if the condition's frame is not of this network's size.
        """
        config = self.config
        frame = self.condition.frame(cond)
        coordinates = fourier(frame_coordinates(x, frame), config.frequencies)
        s = self.embed(torch.cat([coordinates, safe_norm(x)[..., None]], dim=-1))
        points = s, self.start(x[..., None, :])
        zeros = x.new_zeros(len(x), config.num_tokens, config.vector_width, 3)
        tokens = self.queries.expand(len(x), -1, -1), zeros
        condition = self.condition(t, r, cond)
        for layer in self.rounds:
            points, tokens = layer(points, tokens, frame, condition)
        s, v = points
        gates = self.to_gates(self.norm(s))
        of_vectors, own, of_frame = gates.split([config.vector_width, 1, config.frame_size], -1)
        out = self.to_vector(v * of_vectors[..., None])[..., 0, :] + own * x
        if frame is not None:
            out = out + expand_frame(of_frame, frame, 1)[..., 0, :]  # type: ignore[index]
        return out
