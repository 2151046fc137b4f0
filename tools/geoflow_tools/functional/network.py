"""The network of a functional flow map. Symmetry: O(3) with the frame, exactly; none without it.

Places and points enter by their coordinates in the frame, distances and differences of them alone,
so that m(x; R places, R points, R frame) = m(x; places, points, frame). A frame that is held fixed
leaves no symmetry: shapes are expected to stand upright.

A state is a function's values at places (`FunctionCondition.places`). The first `context` of them
are seen by all, the others by themselves alone: an answer at a query depends on the context, the
surface points, and its own place and value. So a map trained on few queries answers at any number,
and the context's values follow a flow of their own.

    tokens   one a surface point: its place, then attention to (place, value) of the context,
             then among each other
    answers  each place reads its nearest surface points' tokens with where they lie from it, then
             goes through a perceptron modulated by the tokens' mean, its value and the times

References: Zhang & Wonka, "Functional Diffusion", 2023, arXiv:2311.15435 (context and queries);
Li et al., "Functional Mean Flow", 2025, arXiv:2511.12898; Perez et al., "FiLM", 2017,
arXiv:1709.07871.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from geoflow.backbones.condition import ConditionReader, check_frame
from geoflow.backbones.layers import fourier, frame_coordinates, safe_norm
from geoflow.backbones.times import TimeEmbedding
from geoflow.condition import Condition
from geoflow.typing import Times

_OCTAVES = 4


@dataclass(frozen=True)
class FunctionCondition(Condition):
    """The condition of a state that is a function: where its values are; `points` are required."""

    places: Float[Tensor, "b q 3"] | None = None
    """Places of the state's values, the context's first."""


@dataclass(frozen=True)
class FunctionalConfig:
    """Sizes of the network."""

    context: int = 64
    """Places whose values all answers may depend on."""
    width: int = 64
    """Channels of a token and of an answer."""
    heads: int = 4
    """Heads of attention."""
    blocks: int = 2
    """Blocks of attention among the tokens."""
    near: int = 6
    """Surface points that a place reads."""
    layers: int = 3
    """Modulated layers of an answer."""


@dataclass(frozen=True)
class Memory:
    """What answers are made of: the tokens, and the points that they stand at."""

    tokens: Float[Tensor, "b m d"]
    corners: Float[Tensor, "b m 3"]
    """The points in the frame."""
    code: Float[Tensor, "b d"]
    """Times and the tokens' mean."""


class FunctionalNetwork(nn.Module):
    """m_{t->r} of a function's values, at any place.

    Args:
        config: sizes.
    """

    def __init__(self, config: FunctionalConfig) -> None:
        super().__init__()
        self.config = config
        width, place = config.width, 3 + 6 * _OCTAVES
        self.time = TimeEmbedding(width)
        self.point = nn.Linear(place, width)
        self.context = nn.Linear(place + 1, width)
        self.read = _Attention(width, config.heads)
        self.blocks = nn.ModuleList(_Attention(width, config.heads) for _ in range(config.blocks))
        self.code = nn.Linear(2 * width, width)
        self.token_part = nn.Linear(width, width)
        self.relative = nn.Linear(3 + 3 * 2 * 2 + 1, width)
        self.message = nn.Linear(width, width + 1)
        self.own = nn.Linear(place + 1, width)
        self.layers = nn.ModuleList(_Modulated(width) for _ in range(config.layers))
        self.out = nn.Linear(width, 1)

    def forward(
        self, x: Float[Tensor, "b n"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b n"]:
        """The field at all places of the condition.

        Raises:
            ValueError: without places, points or a frame of three vectors; for fewer places than
                the context has, or fewer points than a place reads.
        """
        points = ConditionReader.points(cond)
        if not isinstance(cond, FunctionCondition) or cond.places is None:
            raise ValueError("a functional map needs the places of its state: a FunctionCondition")
        size = self.config.context
        if cond.places.shape[1] < size or points.shape[1] < self.config.near:
            raise ValueError(
                f"give at least {size} places and {self.config.near} points, got "
                f"{cond.places.shape[1]} and {points.shape[1]}"
            )
        check_frame(cond.frame, 3)
        places, points = (frame_coordinates(p, cond.frame) for p in (cond.places, points))
        memory = self.remember(x[:, :size], places[:, :size], points, t, r)
        return self.answer(memory, x, places)

    def remember(
        self,
        values: Float[Tensor, "b c"],
        places: Float[Tensor, "b c 3"],
        points: Float[Tensor, "b m 3"],
        t: Times,
        r: Times,
    ) -> Memory:
        """What the context, the points and the times tell; all places in the frame."""
        # One embedding is enough: of two times the later is the end.
        times = (self.time(t) + self.time(r)) / 2
        tokens = self.point(fourier(points, _OCTAVES)) + times[:, None]
        seen = self.context(torch.cat([fourier(places, _OCTAVES), values[..., None]], dim=-1))
        tokens = self.read(tokens, seen)
        for block in self.blocks:
            tokens = block(tokens, tokens)
        code = self.code(torch.cat([times, tokens.mean(1)], dim=-1))
        return Memory(tokens, points, code)

    def answer(
        self, memory: Memory, values: Float[Tensor, "b n"], places: Float[Tensor, "b n 3"]
    ) -> Float[Tensor, "b n"]:
        """The field at places, each by itself."""
        apart = (places[:, :, None] - memory.corners[:, None]).square().sum(-1)
        index = apart.topk(self.config.near, dim=-1, largest=False).indices
        batch = torch.arange(len(places), device=places.device)[:, None, None]
        way = places[:, :, None] - memory.corners[batch, index]
        # Differences are small: their waves are shorter than those of places.
        where = torch.cat([fourier(2 * way, 2), safe_norm(way)[..., None]], dim=-1)
        hidden = self.relative(where) + self.token_part(memory.tokens)[batch, index]
        message = self.message(silu(hidden))
        weight = message[..., -1:].softmax(dim=-2)
        own = self.own(torch.cat([fourier(places, _OCTAVES), values[..., None]], dim=-1))
        state = own + (weight * message[..., :-1]).sum(-2)
        for layer in self.layers:
            state = layer(state, memory.code)
        return self.out(silu(state))[..., 0]


class _Attention(nn.Module):
    """Residual attention of tokens to what they are shown, and a residual perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.shown_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, width),
        )

    def forward(
        self, tokens: Float[Tensor, "b k d"], shown: Float[Tensor, "b n d"]
    ) -> Float[Tensor, "b k d"]:
        query = self.query(self.norm(tokens))
        parts = (query, *self.key_value(self.shown_norm(shown)).chunk(2, dim=-1))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        # Written out, since fused kernels have no forward-mode derivative.
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        tokens = tokens + self.out((weights @ v).transpose(1, 2).flatten(2))
        return tokens + self.mlp(tokens)


class _Modulated(nn.Module):
    """A residual layer whose channels are scaled and shifted by a code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self, state: Float[Tensor, "b n d"], code: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b n d"]:
        scale, shift = self.modulation(code)[:, None].chunk(2, dim=-1)
        seen = self.norm(state) * (1 + scale) + shift
        return state + self.outer(silu(self.inner(seen)))
