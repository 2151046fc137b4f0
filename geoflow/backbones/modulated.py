"""Functions of a point and a shape's latent: symmetry E(3) with a frame that turns along.

A residual MLP on the invariants of a point, whose every hidden layer is modulated by a per-shape
gain and by per-shape *half spaces* <q, w_j> + b_j (w_j equivariant vectors, b_j scalars): shapes
with flat and straight parts are cut out of planes that the latent places itself.

Reference: FiLM, Perez et al., 2018, arXiv:1709.07871; half spaces, Chen et al., "BSP-Net", 2020,
arXiv:1911.06971.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.layers import (
    Invariants,
    ScalarVectorBlock,
    VectorLinear,
    expand_frame,
    fourier,
    frame_coordinates,
    safe_norm,
)
from geoflow.backbones.shape_encoder import ShapeConfig


@dataclass(frozen=True)
class Context:
    """What is kept of a batch of latents: per-layer gains, offsets and half spaces."""

    gain: Float[Tensor, "l b 1 d"]
    offset: Float[Tensor, "l b 1 d"]
    planes: Float[Tensor, "l b d 3"]
    answers: Float[Tensor, "b a 3"]
    """Vectors that the answer may be made of, for functions with values in space."""
    centre: Float[Tensor, "b 1 3"]
    frame: Float[Tensor, "b m 3"] | None

    def of(self, index: int) -> Context:
        """The context of one shape of the batch."""
        one = slice(index, index + 1)
        return Context(
            gain=self.gain[:, one],
            offset=self.offset[:, one],
            planes=self.planes[:, one],
            answers=self.answers[one],
            centre=self.centre[one],
            frame=None if self.frame is None else self.frame[one],
        )


class Modulated(nn.Module):
    """What all functions of point and latent share; a subclass adds the last layer.

    Args:
        config: sizes.
        answers: vectors a of the latent's that the answer may be made of.
    """

    def __init__(self, config: ShapeConfig, *, answers: int = 0) -> None:
        super().__init__()
        self.config, self.answers = config, answers
        width, vectors = config.encoder_width, config.heads
        layers, hidden = config.decoder_layers + 1, config.decoder_width
        self.invariants = Invariants(config.vectors, config.frame_size)
        self.embed_scalars = nn.Linear(config.scalars + self.invariants.channels, width)
        self.embed_vectors = VectorLinear(config.vectors, vectors)
        self.position = nn.Parameter(torch.randn(config.num_tokens, width) * 0.5)
        self.blocks = nn.ModuleList(
            ScalarVectorBlock(width, vectors, heads=config.heads, frame_size=config.frame_size)
            for _ in range(config.context_blocks)
        )
        per_token = -(-2 * width // config.num_tokens)
        self.squeeze = nn.Linear(width, per_token)
        context = per_token * config.num_tokens
        self.to_gain = nn.Linear(context, layers * hidden)
        self.to_offset = nn.Linear(context, layers * hidden)
        arrows = layers * hidden + answers
        self.to_frame = nn.Linear(context, arrows * config.frame_size)
        self.to_planes = VectorLinear(config.num_tokens * vectors, arrows)
        for linear in (self.to_gain, self.to_offset, self.to_frame):
            nn.init.normal_(linear.weight, std=0.5 / context**0.5)
        coordinates = config.frame_size * (1 + 2 * config.frequencies) + 1
        self.read = nn.Linear(coordinates, hidden)
        self.first = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers - 1))
        second = [nn.Linear(hidden, hidden) for _ in range(layers - 1)]
        for layer in second:
            nn.init.normal_(layer.weight, std=0.3 / hidden**0.5)
        self.second = nn.ModuleList(second)

    def context(
        self,
        tokens: Float[Tensor, "b k c"],
        frame: Float[Tensor, "b m 3"] | None,
        centre: Float[Tensor, "b 3"],
    ) -> Context:
        """Everything of the latent that does not depend on the query point."""
        config = self.config
        scalars = tokens[..., : config.scalars]
        vectors = tokens[..., config.scalars :].unflatten(-1, (config.vectors, 3))
        features = torch.cat([scalars, self.invariants(vectors, frame)], dim=-1)
        s = self.embed_scalars(features) + self.position
        v = self.embed_vectors(vectors)
        for block in self.blocks:
            s, v = block(s, v, frame)
        flat = nn.functional.silu(self.squeeze(s).flatten(1))
        layers, hidden = config.decoder_layers + 1, config.decoder_width
        planes = self.to_planes(v.flatten(1, 2)) / config.num_tokens
        planes = planes + expand_frame(self.to_frame(flat), frame, planes.shape[1])
        planes, answers = planes.split([layers * hidden, self.answers], dim=1)
        return Context(
            gain=1 + self.to_gain(flat).unflatten(-1, (layers, 1, hidden)).transpose(0, 1),
            offset=self.to_offset(flat).unflatten(-1, (layers, 1, hidden)).transpose(0, 1),
            planes=planes.unflatten(1, (layers, hidden)).transpose(0, 1),
            answers=answers,
            centre=centre[:, None],
            frame=frame,
        )

    def hidden(self, context: Context, queries: Float[Tensor, "b q 3"]) -> Float[Tensor, "b q d"]:
        """Features of the query points."""
        relative = queries - context.centre
        coordinates = frame_coordinates(relative, context.frame)
        features = [fourier(coordinates, self.config.frequencies), safe_norm(relative)[..., None]]
        h = self.read(torch.cat(features, dim=-1)) * context.gain[0]
        h = nn.functional.silu(h + self._half_spaces(context, 0, relative))
        for i, (first, second) in enumerate(zip(self.first, self.second, strict=True), start=1):
            inner = first(h) * context.gain[i] + self._half_spaces(context, i, relative)
            h = h + second(nn.functional.silu(inner))
        return h

    @staticmethod
    def _half_spaces(
        context: Context, layer: int, relative: Float[Tensor, "b q 3"]
    ) -> Float[Tensor, "b q d"]:
        return torch.baddbmm(
            context.offset[layer].to(relative.dtype),
            relative,
            context.planes[layer].transpose(1, 2).to(relative.dtype),
        )
