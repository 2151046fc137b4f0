"""A transformer from a picture and a noisy set of points to points of its edges.

Points attend to each other and to patches of the picture, and look it up where they are: every
block moves them, and samples features of the picture at their new places. Both times are embedded
and the embeddings averaged. No symmetry: pictures have an up and a right.

Reference: features where tokens stand, as in deformable attention, Zhu et al., "Deformable DETR",
2020, arXiv:2010.04159.
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

SCALE = 2.5
"""By which points of a picture between -1 and 1 are stretched to about unit variance."""
_FREQUENCIES = 6


@dataclass(frozen=True)
class SketchConfig:
    """Sizes of the network."""

    size: int = 32
    """Pixels along an edge of a picture."""
    patch: int = 4
    """Pixels along an edge of a patch; divides the size."""
    reach: float = SCALE
    """Where the picture's borders are, in units of the points."""
    features: int = 24
    """Channels of what points look up."""
    width: int = 64
    """Channels."""
    picture_blocks: int = 2
    """Blocks that read the picture."""
    blocks: int = 4
    """Blocks that move the points."""
    heads: int = 4
    """Attention heads; divides the width."""


def to_patches(pictures: Float[Tensor, "b s s"], edge: int) -> Float[Tensor, "b k c"]:
    """Square patches of pictures, row by row, a token each.

    Raises:
        ValueError: if the edge of a patch does not divide that of the pictures.
    """
    if pictures.shape[-1] % edge:
        raise ValueError(f"patches of {edge} pixels do not divide {pictures.shape[-1]}")
    rows = pictures.unfold(1, edge, edge).unfold(2, edge, edge)
    return rows.flatten(3).flatten(1, 2)


class _Attention(nn.Module):
    """Tokens attend to tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_keys = nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(
        self, s: Float[Tensor, "b k d"], others: Float[Tensor, "b n d"]
    ) -> Float[Tensor, "b k d"]:
        parts = (self.query(s), *self.key_value(self.norm_keys(others)).chunk(2, dim=-1))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(-2))


class _Block(nn.Module):
    """Attention among tokens, then a perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.among = _Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, s: Float[Tensor, "b k d"], parts: tuple[Tensor, ...] | None = None
    ) -> Float[Tensor, "b k d"]:
        """Both updates; `parts` are shifts and scales (b, 1, d) by the times."""
        shift, scale, shift_mlp, scale_mlp = parts or (s.new_zeros(()),) * 4
        normed = self.norm(s) * (1 + scale) + shift
        s = s + self.among(normed, normed)
        return s + self.mlp(self.norm_mlp(s) * (1 + scale_mlp) + shift_mlp)


class _Mover(nn.Module):
    """Points look where they are and at the whole picture, attend to each other, and move."""

    def __init__(self, config: SketchConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width)
        self.across, self.block = _Attention(width, config.heads), _Block(width, config.heads)
        self.modulate = nn.Linear(width, 4 * width)
        self.move, self.look = nn.Linear(width, 2), nn.Linear(config.features, width)

    def forward(
        self,
        s: Float[Tensor, "b k d"],
        place: Float[Tensor, "b k 2"],
        picture: _Picture,
        times: Float[Tensor, "b d"],
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k 2"]]:
        """Tokens and places of the points."""
        s = s + self.look(picture.at(place))
        s = s + self.across(self.norm(s), picture.patches)
        s = self.block(s, self.modulate(times)[:, None].chunk(4, dim=-1))
        return s, place + self.move(s)


@dataclass(frozen=True)
class _Picture:
    """Tokens of the patches, and features at every place."""

    patches: Float[Tensor, "b n d"]
    features: Float[Tensor, "b c s s"]
    reach: float

    def at(self, place: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k c"]:
        """Features at places, between pixels bilinear; beyond the borders those of the borders."""
        # Rows come from above, places count upwards.
        grid = place * place.new_tensor([1.0, -1.0]) / self.reach
        found = nn.functional.grid_sample(
            self.features, grid[:, None], padding_mode="border", align_corners=False
        )
        return found[:, :, 0].transpose(1, 2)


class SketchNetwork(nn.Module):
    """Raw field m_{t->r}(x | picture) on sets of points in the plane."""

    def __init__(self, config: SketchConfig) -> None:
        super().__init__()
        self.config = config
        width, features = config.width, config.features
        self.embed_patch = nn.Linear(config.patch**2, width)
        self.place = nn.Parameter(torch.randn((config.size // config.patch) ** 2, width) * 0.5)
        self.read = nn.ModuleList(_Block(width, config.heads) for _ in range(config.picture_blocks))
        self.see = nn.Sequential(
            nn.Conv2d(1, features, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(features, features, 3, padding=2, dilation=2),
            nn.SiLU(),
            nn.Conv2d(features, features, 3, padding=4, dilation=4),
        )
        self.embed_point = nn.Linear(2 + 4 * _FREQUENCIES, width)
        self.condition = ConditionReader(width)
        self.blocks = nn.ModuleList(_Mover(config) for _ in range(config.blocks))
        self.norm, self.to_point = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(
        self, x: Float[Tensor, "b k 2"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b k 2"]:
        """Points to points, given the rows of the picture as the condition's tokens.

        Raises:
            ValueError: if the condition has no tokens.
        """
        rows = self.condition.tokens(cond)
        patches = self.embed_patch(to_patches(rows, self.config.patch)) + self.place
        for block in self.read:
            patches = block(patches)
        picture = _Picture(patches, self.see(rows[:, None]), self.config.reach)
        times = self.condition(t, r, None)
        # Noise of a few units stays within the longest period.
        s, place = self.embed_point(fourier(x / 4, _FREQUENCIES)), x
        for mover in self.blocks:
            s, place = mover(s, place, picture, times)
        return place + self.to_point(self.norm(s))
