"""Transformer over the patches of a picture: no symmetry, for pictures alone.

A picture comes and goes as one vector, rows from above. As in the other networks both times are
embedded and the two embeddings averaged.

Reference: Peebles & Xie, "Scalable Diffusion Models with Transformers" (DiT), 2023,
arXiv:2212.09748; averaged time embeddings, Li et al., "A Few-Step Generative Model on Cumulative
Flow Maps", 2026, arXiv:2605.03623.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.condition import Condition
from geoflow.typing import Times


@dataclass(frozen=True)
class PatchTransformerConfig:
    """Sizes of the patch transformer."""

    size: int
    """Pixels along an edge of a picture."""
    patch: int
    """Pixels along an edge of a patch; divides the size."""
    width: int = 96
    """Channels of a patch."""
    blocks: int = 3
    """Transformer blocks."""
    heads: int = 4
    """Attention heads; divides the width."""

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: for patches that do not tile the picture, or heads that don't fit.
        """
        if self.patch < 1 or self.size % self.patch:
            raise ValueError(f"patch must divide {self.size} pixels, got {self.patch}")
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"heads must divide the width {self.width}, got {self.heads}")


class _Block(nn.Module):
    """Attention and a perceptron, scaled, shifted and gated by the times; the identity at first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulate = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.read = nn.Linear(width, 3 * width)
        self.write = nn.Linear(width, width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """One block over (b, patches, width), told of the times by (b, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulate(condition)[:, None].chunk(6, 2)
        qkv = self.read(self.norms[0](h) * (1 + scale1) + shift1)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        met = nn.functional.scaled_dot_product_attention(q, k, v)
        h = h + gate1 * self.write(met.transpose(1, 2).flatten(2))
        hidden = self.up(self.norms[1](h) * (1 + scale2) + shift2)
        out: Tensor = h + gate2 * self.down(nn.functional.silu(hidden))
        return out


class PatchTransformer(nn.Module):
    """Raw field m_{t->r}(x) on pictures as vectors."""

    def __init__(self, config: PatchTransformerConfig) -> None:
        super().__init__()
        self.config = config
        pixels, width = config.patch**2, config.width
        self.read = nn.Linear(pixels, width)
        num = (config.size // config.patch) ** 2
        self.position = nn.Parameter(torch.randn(num, width) * 0.5)
        self.condition = ConditionReader(width)
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.write = nn.Linear(width, pixels)

    def forward(
        self, x: Float[Tensor, "b d"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b d"]:
        """Pictures as vectors to the like."""
        condition = self.condition(t, r, cond)
        edge, patch = self.config.size // self.config.patch, self.config.patch
        tiles = x.unflatten(1, (edge, patch, edge, patch)).transpose(2, 3)
        h = self.read(tiles.flatten(3).flatten(1, 2)) + self.position
        for block in self.blocks:
            h = block(h, condition)
        tiles = self.write(self.norm(h)).unflatten(2, (patch, patch)).unflatten(1, (edge, edge))
        return tiles.transpose(2, 3).flatten(1)
