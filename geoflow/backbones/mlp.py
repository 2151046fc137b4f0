"""Perceptron on vectors: no symmetry; the plain baseline, for data without geometry.

An example of any shape is read as one vector. As in the other networks both times are embedded
and the two embeddings averaged.

Reference: adaptive normalisation, Peebles & Xie, "DiT", 2023, arXiv:2212.09748.
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
class MLPConfig:
    """Sizes of the perceptron."""

    size: int
    """Numbers in an example."""
    width: int = 256
    """Hidden channels."""
    blocks: int = 3
    """Residual blocks."""
    num_categories: int = 1
    """Classes to condition on."""
    guided: bool = False
    """Whether guidance is read, and an example may be of any category."""
    octaves: int = 0
    """Sines and cosines of every number at frequencies 1, 2, 4, ... radians that are read too."""


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulate = nn.Linear(width, 2 * width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """Residual two-layer perceptron, scaled and shifted by the condition."""
        scale, shift = self.modulate(condition).chunk(2, dim=-1)
        hidden = self.norm(h) * (1 + scale) + shift
        out: Tensor = h + self.down(nn.functional.silu(self.up(hidden)))
        return out


class MLP(nn.Module):
    """Raw field m_{t->r}(x) on vectors."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        self.config = config
        self.read = nn.Linear(config.size * (1 + 2 * config.octaves), config.width)
        self.condition = ConditionReader(
            config.width, num_categories=config.num_categories, guided=config.guided
        )
        self.blocks = nn.ModuleList(_Block(config.width) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.write = nn.Linear(config.width, config.size)

    def forward(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Vectors to vectors, in the shape they came in."""
        condition = self.condition(t, r, cond)
        # Positions keep their digits under autocast.
        with torch.autocast(x.device.type, enabled=False):
            h = self.read(self._features(x.flatten(1)))
        for block in self.blocks:
            h = block(h, condition)
        return self.write(self.norm(h)).reshape(x.shape)

    def _features(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        octaves = range(self.config.octaves)
        waves = [wave(2.0**k * x) for k in octaves for wave in (torch.sin, torch.cos)]
        return torch.cat([x, *waves], dim=1)
