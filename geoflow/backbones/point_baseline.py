"""Plain transformer over point sets: symmetry under permutations alone; the baseline.

The same two streams as the point transformer, on raw coordinates: what equivariance costs, and
what it is worth, is read off beside it.

Reference: Jabri et al., "Scalable Adaptive Computation for Iterative Generation" (RIN), 2022,
arXiv:2212.11972.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.layers import fourier
from geoflow.condition import Condition
from geoflow.typing import Times


@dataclass(frozen=True)
class PointBaselineConfig:
    """Sizes of the plain transformer."""

    num_categories: int = 1
    """Classes to condition on."""
    width: int = 64
    """Channels of a point."""
    token_width: int = 128
    """Channels of a token."""
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


class _Attention(nn.Module):
    def __init__(self, readers: int, read: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_readers, self.norm_read = nn.LayerNorm(readers), nn.LayerNorm(read)
        narrow = min(readers, read)
        self.query = nn.Linear(readers, narrow)
        self.key_value = nn.Linear(read, 2 * narrow)
        self.out = nn.Linear(narrow, readers)

    def forward(
        self, h: Float[Tensor, "b k d"], others: Float[Tensor, "b n e"]
    ) -> Float[Tensor, "b k d"]:
        keys, values = self.key_value(self.norm_read(others)).chunk(2, dim=-1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(self.norm_readers(h)), keys, values)
        )
        # Written out, since fused kernels have no forward-mode derivative.
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return h + self.out((weights @ v).transpose(1, 2).flatten(-2))


class _Perceptron(nn.Module):
    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(condition, 3 * width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(
        self, h: Float[Tensor, "b k d"], condition: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b k d"]:
        shift, scale, gate = self.modulate(condition)[:, None].chunk(3, dim=-1)
        hidden = self.up(self.norm(h) * (1 + scale) + shift)
        return h + (1 + gate) * self.down(nn.functional.silu(hidden))


class _Round(nn.Module):
    def __init__(self, config: PointBaselineConfig) -> None:
        super().__init__()
        points, tokens = config.width, config.token_width
        self.read = _Attention(tokens, points, config.heads)
        self.think = _Attention(tokens, tokens, config.heads)
        self.of_tokens = _Perceptron(tokens, config.condition_width)
        self.answer = _Attention(points, tokens, config.heads)
        self.of_points = _Perceptron(points, config.condition_width)

    def forward(
        self, points: Tensor, tokens: Tensor, condition: Tensor
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b k e"]]:
        tokens = self.read(tokens, points)
        tokens = self.of_tokens(self.think(tokens, tokens), condition)
        return self.of_points(self.answer(points, tokens), condition), tokens


class PointBaseline(nn.Module):
    """Raw field m_{t->r}(x) of point sets; a frame is not read."""

    def __init__(self, config: PointBaselineConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(3 * (1 + 2 * config.frequencies), config.width)
        self.queries = nn.Parameter(torch.randn(config.num_tokens, config.token_width))
        self.condition = ConditionReader(
            config.condition_width, num_categories=config.num_categories
        )
        self.rounds = nn.ModuleList(_Round(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.to_vector = nn.Linear(config.width, 3)

    def forward(
        self, x: Float[Tensor, "b n 3"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b n 3"]:
        """Points to vectors."""
        points = self.embed(fourier(x, self.config.frequencies))
        tokens = self.queries.expand(len(x), -1, -1)
        condition = self.condition(t, r, cond)
        for layer in self.rounds:
            points, tokens = layer(points, tokens, condition)
        return self.to_vector(self.norm(points))
