"""Transformer from surface points and a noisy set of points to joints: symmetry O(3).

m(R x, t, r | R points) = R m(x, t, r | points), exactly, for rotations and reflections about the
origin, where the points' centroid is expected. Permuting x permutes the output alike; the order
of the surface points says nothing.

The surface is read once, into tokens at its farthest points that carry moments of their
neighbourhoods. Attention knows places: to the product of queries and keys it adds a Gaussian of
the distance between anchors that the tokens' vectors place,

    logit_ij = <q_i, k_j> / sqrt(d) - gamma_i |a_i - b_j|^2,

an invariant, so that vectors may be averaged with the same weights.

References: Assaad et al., "VN-Transformer", 2022, arXiv:2206.04176, for invariant attention over
vectors; anchors as in invariant point attention, Jumper et al., "AlphaFold", 2021; averaged time
embeddings, Li et al., "Cumulative flow maps", 2026, arXiv:2605.03623.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.layers import Invariants, VectorLinear, VectorNorm, attend
from geoflow.backbones.surface_moments import NUM_SCALARS, NUM_VECTORS, surface_moments
from geoflow.condition import Condition
from geoflow.typing import Times

# Sharpness gamma of the untrained heads, from the widest to the narrowest.
_SHARPNESS = (0.3, 30.0)


@dataclass(frozen=True)
class JointTransformerConfig:
    """Sizes of the joint transformer."""

    surface_tokens: int = 48
    """Tokens that the surface points are gathered in."""
    width: int = 96
    """Scalar channels."""
    vector_width: int = 16
    """Vector channels."""
    surface_blocks: int = 2
    """Blocks that read the surface."""
    blocks: int = 4
    """Blocks that move the points."""
    heads: int = 8
    """Attention heads; divides both widths."""
    expansion: int = 2
    """Hidden channels of the feed-forward parts, in units of the width."""
    condition_width: int = 96
    """Channels of the time embedding."""


@dataclass(frozen=True)
class Tokens:
    """Scalars and vectors at places."""

    scalars: Float[Tensor, "b k d"]
    vectors: Float[Tensor, "b k c 3"]
    places: Float[Tensor, "b k 3"]


class _Attention(nn.Module):
    """Tokens attend to tokens by content and by the distance of anchors."""

    def __init__(self, config: JointTransformerConfig) -> None:
        super().__init__()
        width, vectors, heads = config.width, config.vector_width, config.heads
        self.heads = heads
        self.norm_query, self.norm_key = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_vectors, self.norm_others = VectorNorm(vectors), VectorNorm(vectors)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.anchor_query, self.anchor_key = (VectorLinear(vectors, heads) for _ in range(2))
        for anchor in (self.anchor_query, self.anchor_key):
            nn.init.normal_(anchor.weight, std=0.1 / math.sqrt(vectors))
        low, high = (math.log(gamma) for gamma in _SHARPNESS)
        self.sharpness = nn.Parameter(torch.linspace(low, high, heads))
        self.to_sharpness = nn.Linear(width, heads)
        nn.init.zeros_(self.to_sharpness.weight)
        nn.init.zeros_(self.to_sharpness.bias)
        self.vector_values = VectorLinear(vectors + 1, vectors)
        self.scalar_out = nn.Linear(width, width)
        self.vector_out = VectorLinear(vectors, vectors)

    def forward(
        self,
        tokens: Tokens,
        others: Tokens,
        shift: Float[Tensor, "b 1 d"] | float = 0.0,
        scale: Float[Tensor, "b 1 d"] | float = 0.0,
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        """Updates of the tokens' scalars and vectors."""
        s = self.norm_query(tokens.scalars) * (1 + scale) + shift
        v, u = self.norm_vectors(tokens.vectors), self.norm_others(others.vectors)
        keys, values = self.key_value(self.norm_key(others.scalars)).chunk(2, dim=-1)
        a = tokens.places[..., None, :] + self.anchor_query(v)
        b = others.places[..., None, :] + self.anchor_key(u)
        gamma = torch.exp(self.sharpness + self.to_sharpness(s))[..., None]
        # Content has the usual temperature, distances have none.
        content = self.query(s).unflatten(-1, (self.heads, -1))
        content = content * (1 / math.sqrt(content.shape[-1]))
        queries = torch.cat([content, 2 * gamma * a, -gamma], dim=-1)
        keys = torch.cat(
            [keys.unflatten(-1, (self.heads, -1)), b, b.square().sum(-1, keepdim=True)], dim=-1
        )
        vector_values = self.vector_values(torch.cat([u, others.places[..., None, :]], dim=-2))
        ds, dv = attend(
            queries.flatten(-2),
            keys.flatten(-2),
            values,
            vector_values,
            self.heads,
            temperature=1.0,
        )
        return self.scalar_out(ds), self.vector_out(dv)


class _FeedForward(nn.Module):
    """Scalars and invariants of the vectors to scalars, and gates of mixed vectors."""

    def __init__(self, config: JointTransformerConfig) -> None:
        super().__init__()
        width, vectors = config.width, config.vector_width
        self.norm, self.norm_vectors = nn.LayerNorm(width), VectorNorm(vectors)
        self.invariants = Invariants(vectors, 0)
        self.up = nn.Linear(width + self.invariants.channels, config.expansion * width)
        self.down = nn.Linear(config.expansion * width, width + vectors)
        self.vector_mix = VectorLinear(vectors, vectors)

    def forward(
        self,
        tokens: Tokens,
        shift: Float[Tensor, "b 1 d"] | float = 0.0,
        scale: Float[Tensor, "b 1 d"] | float = 0.0,
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        """Updates of the tokens' scalars and vectors."""
        normed = self.norm_vectors(tokens.vectors)
        s = self.norm(tokens.scalars) * (1 + scale) + shift
        features = torch.cat([s, self.invariants(normed, None)], dim=-1)
        out = self.down(nn.functional.silu(self.up(features)))
        width = s.shape[-1]
        return out[..., :width], out[..., width:, None] * self.vector_mix(normed)


class _Block(nn.Module):
    """Self-attention, attention to the surface where there is one, feed-forward."""

    def __init__(self, config: JointTransformerConfig, *, reads_surface: bool) -> None:
        super().__init__()
        self.among = _Attention(config)
        self.across = _Attention(config) if reads_surface else None
        self.feed_forward = _FeedForward(config)
        # The block's own offset to the modulation that all blocks share.
        self.modulation = nn.Parameter(torch.zeros(6 * config.width)) if reads_surface else None

    def forward(
        self,
        tokens: Tokens,
        surface: Tokens | None = None,
        modulation: Float[Tensor, "b e"] | None = None,
    ) -> Tokens:
        s, v, x = tokens.scalars, tokens.vectors, tokens.places
        parts: list[Tensor | float] = [0.0] * 6
        if modulation is not None and self.modulation is not None:
            parts = list((modulation + self.modulation)[:, None].chunk(6, dim=-1))
        ds, dv = self.among(Tokens(s, v, x), Tokens(s, v, x), parts[0], parts[1])
        s, v = s + (1 + parts[2]) * ds, v + dv
        if self.across is not None and surface is not None:
            ds, dv = self.across(Tokens(s, v, x), surface)
            s, v = s + ds, v + dv
        ds, dv = self.feed_forward(Tokens(s, v, x), parts[3], parts[4])
        return Tokens(s + (1 + parts[5]) * ds, v + dv, x)


class JointTransformer(nn.Module):
    """Raw field m_{t->r}(x | surface points) on sets of points."""

    def __init__(self, config: JointTransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, vectors = config.width, config.vector_width
        self.embed_surface = nn.Sequential(
            nn.Linear(NUM_SCALARS, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.embed_vectors = VectorLinear(NUM_VECTORS, vectors)
        self.surface_blocks = nn.ModuleList(
            _Block(config, reads_surface=False) for _ in range(config.surface_blocks)
        )
        self.start = nn.Parameter(torch.randn(width) * 0.5)
        self.embed_distance = nn.Linear(2, width)
        self.embed_place = VectorLinear(1, vectors)
        self.condition = ConditionReader(config.condition_width)
        self.modulate = nn.Linear(config.condition_width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        self.blocks = nn.ModuleList(
            _Block(config, reads_surface=True) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.to_gates = nn.Linear(width, vectors + 1)
        self.to_vectors = VectorLinear(vectors + 1, 1)

    def forward(
        self, x: Float[Tensor, "b k 3"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b k 3"]:
        """Points to points, given the surface.

        Raises:
            ValueError: if the condition has no points, or fewer than there are surface tokens.
        """
        return self.move(x, t, r, self.read(self.condition.points(cond)))

    def read(self, points: Float[Tensor, "b n 3"]) -> Tokens:
        """Tokens of a surface whose centroid is at the origin; the same for every evaluation.

        Raises:
            ValueError: for fewer points than tokens.
        """
        moments = surface_moments(points, self.config.surface_tokens)
        tokens = Tokens(
            self.embed_surface(moments.scalars), self.embed_vectors(moments.vectors), moments.places
        )
        for block in self.surface_blocks:
            tokens = block(tokens)
        return tokens

    def move(
        self, x: Float[Tensor, "b k 3"], t: Times, r: Times, surface: Tokens
    ) -> Float[Tensor, "b k 3"]:
        """Field at the points x, given the tokens of the surface."""
        square = x.square().sum(-1, keepdim=True)
        distance = torch.cat([(square + 1e-6).sqrt(), square], dim=-1)
        s = self.start + self.embed_distance(distance)
        tokens = Tokens(s, self.embed_place(x[..., None, :]), x)
        modulation = self.modulate(self.condition(t, r, None))
        for block in self.blocks:
            tokens = block(tokens, surface, modulation)
        gates = self.to_gates(self.norm(tokens.scalars))
        vectors = torch.cat([tokens.vectors, x[..., None, :]], dim=-2)
        return self.to_vectors(vectors * gates[..., None])[..., 0, :]


class Reading(nn.Module):
    """The network with a surface that was read once: a backbone that needs no condition."""

    def __init__(self, network: JointTransformer, surface: Tokens) -> None:
        super().__init__()
        self.network, self.surface = network, surface

    def forward(
        self, x: Float[Tensor, "b k 3"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b k 3"]:
        """Field at the points x."""
        return self.network.move(x, t, r, self.surface)
