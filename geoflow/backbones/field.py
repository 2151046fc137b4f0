"""Signed-distance field autoencoder: symmetry E(3) with a frame that turns along.

Encoder: surface points with normals, and an optional frame -> k latent tokens of scalars and
vectors about the centroid. Decoder: f(q; z) reads only inner products of q - centre with
vectors of the latent and of the frame, so that f(R q + tau; R z + tau) = f(q; z).

The decoder is a residual MLP whose every hidden layer is modulated by a per-shape gain and by
per-shape *half spaces* <q, w_j> + b_j (w_j equivariant vectors, b_j scalars): solids with flat
and straight parts are cut out of planes that the latent places itself.

Reference: FiLM, Perez et al., 2018, arXiv:1709.07871; latent-set encoders, Zhang et al.,
"3DShape2VecSet", 2023, arXiv:2301.11445; half spaces, Chen et al., "BSP-Net", 2020,
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
    attend,
    expand_frame,
    fourier,
    frame_coordinates,
    safe_norm,
)

# Vectors pooled from the points, read beside the frame where the frame does not span the space.
_POOLED = 4
# Radius of the sphere that an untrained decoder draws, and its field's slope.
_SPHERE_RADIUS, _SPHERE_SLOPE = 0.5, 0.2


@dataclass(frozen=True)
class FieldConfig:
    """Sizes of the field autoencoder."""

    frame_size: int = 3
    """Frame vectors given with each shape: 3 (full frame), 1 (up), 0 (none)."""
    num_tokens: int = 16
    """Latent tokens k."""
    scalars: int = 10
    """Latent scalars of a token."""
    vectors: int = 2
    """Latent vectors of a token."""
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


@dataclass(frozen=True)
class Context:
    """What the decoder keeps of a batch of latents: per-layer gains, offsets and half spaces."""

    gain: Float[Tensor, "l b 1 d"]
    offset: Float[Tensor, "l b 1 d"]
    planes: Float[Tensor, "l b d 3"]
    centre: Float[Tensor, "b 1 3"]
    frame: Float[Tensor, "b m 3"] | None


class _Reading(nn.Module):
    """Tokens attend to the points, then to each other."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        width, vectors = config.encoder_width, config.heads
        self.heads = config.heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.vector_gates = nn.Linear(width, 2 * vectors)
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
        arrows: Float[Tensor, "b n 2 3"],
        frame: Float[Tensor, "b m 3"] | None,
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        keys, values = self.key_value(features).chunk(2, dim=-1)
        gates = self.vector_gates(features).unflatten(-1, (-1, 2))
        vector_values = gates @ arrows
        ds, dv = attend(self.query(self.norm(s)), keys, values, vector_values, self.heads)
        s, v = s + self.scalar_out(ds), v + self.vector_out(dv)
        for block in self.blocks:
            s, v = block(s, v, frame)
        return s, v


class Encoder(nn.Module):
    """Surface points and normals to latent tokens; invariant to the order of the points."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.config = config
        width, vectors = config.encoder_width, config.heads
        self.pooled = _POOLED if config.frame_size < 3 else 0
        if self.pooled:
            self.pool = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 2 * self.pooled))
        references = config.frame_size + self.pooled
        channels = references * (2 + 2 * config.frequencies) + 3
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
        normals: Float[Tensor, "b n 3"],
        frame: Float[Tensor, "b m 3"] | None,
        centre: Float[Tensor, "b 3"],
    ) -> Float[Tensor, "b k c"]:
        """Packed tokens, each of unit root mean square."""
        relative = surface - centre[:, None]
        plain = torch.stack([safe_norm(relative), (relative * normals).sum(-1)], dim=-1)
        plain = torch.cat([plain, plain[..., :1].square()], dim=-1)
        references = frame
        if self.pooled:
            weights = self.pool(plain)
            near, far = weights.chunk(2, dim=-1)
            pooled = torch.einsum("bnj,bni->bji", near.softmax(1), relative)
            pooled = pooled + torch.einsum("bnj,bni->bji", far.softmax(1), normals)
            references = pooled if frame is None else torch.cat([frame, pooled], dim=1)
        position = frame_coordinates(relative, references)
        features = [fourier(position, self.config.frequencies)]
        features += [frame_coordinates(normals, references), plain]
        points = self.embed(torch.cat(features, dim=-1))
        s = self.queries.expand(len(surface), -1, -1)
        v = self.start(relative.mean(1)[:, None, None]).expand(-1, s.shape[1], -1, -1)
        arrows = torch.stack([relative, normals], dim=-2)
        for reading in self.readings:
            s, v = reading(s, v, points, arrows, frame)
        packed = torch.cat([self.to_scalars(s), self.to_vectors(v).flatten(-2)], dim=-1)
        return packed * (packed.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


class Decoder(nn.Module):
    """Latent tokens to a signed distance at any point."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.config = config
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
        self.to_frame = nn.Linear(context, layers * hidden * config.frame_size)
        self.to_planes = VectorLinear(config.num_tokens * vectors, layers * hidden)
        for linear in (self.to_gain, self.to_offset, self.to_frame):
            nn.init.normal_(linear.weight, std=0.5 / context**0.5)
        coordinates = config.frame_size * (1 + 2 * config.frequencies) + 1
        self.read = nn.Linear(coordinates, hidden)
        self.first = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers - 1))
        second = [nn.Linear(hidden, hidden) for _ in range(layers - 1)]
        for layer in second:
            nn.init.normal_(layer.weight, std=0.3 / hidden**0.5)
        self.second = nn.ModuleList(second)
        self.out = nn.Linear(hidden, 1)
        # An untrained decoder draws a sphere, so that the shortest of runs has a surface; training
        # soon turns the weight of it to zero.
        self.sphere = nn.Parameter(torch.tensor(_SPHERE_SLOPE))

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
        planes = planes + expand_frame(self.to_frame(flat), frame, layers * hidden)
        return Context(
            gain=1 + self.to_gain(flat).unflatten(-1, (layers, 1, hidden)).transpose(0, 1),
            offset=self.to_offset(flat).unflatten(-1, (layers, 1, hidden)).transpose(0, 1),
            planes=planes.unflatten(1, (layers, hidden)).transpose(0, 1),
            centre=centre[:, None],
            frame=frame,
        )

    def forward(self, context: Context, queries: Float[Tensor, "b q 3"]) -> Float[Tensor, "b q"]:
        """Signed distance at the query points."""
        relative = queries - context.centre
        coordinates = frame_coordinates(relative, context.frame)
        features = [fourier(coordinates, self.config.frequencies), safe_norm(relative)[..., None]]
        h = self.read(torch.cat(features, dim=-1)) * context.gain[0]
        h = nn.functional.silu(h + self._half_spaces(context, 0, relative))
        for i, (first, second) in enumerate(zip(self.first, self.second, strict=True), start=1):
            inner = first(h) * context.gain[i] + self._half_spaces(context, i, relative)
            h = h + second(nn.functional.silu(inner))
        return 0.1 * self.out(h)[..., 0] + self.sphere * (features[1][..., 0] - _SPHERE_RADIUS)

    @staticmethod
    def _half_spaces(
        context: Context, layer: int, relative: Float[Tensor, "b q 3"]
    ) -> Float[Tensor, "b q d"]:
        return torch.baddbmm(
            context.offset[layer].to(relative.dtype),
            relative,
            context.planes[layer].transpose(1, 2).to(relative.dtype),
        )


class FieldAutoencoder(nn.Module):
    """Surface points to latent tokens to a signed-distance field."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"],
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
    ) -> Float[Tensor, "b k c"]:
        """Packed latent tokens about `centre` (default: the origin).

        Raises:
            ValueError: if the frame does not have `config.frame_size` vectors.
        """
        self._check_frame(frame)
        return self.encoder(surface, normals, frame, self._centre(centre, surface))

    def context(
        self,
        tokens: Float[Tensor, "b k c"],
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
    ) -> Context:
        """Latent-dependent part of the decoder, to be shared by many queries."""
        self._check_frame(frame)
        return self.decoder.context(tokens, frame, self._centre(centre, tokens))

    def decode_with(
        self, context: Context, queries: Float[Tensor, "b q 3"]
    ) -> Float[Tensor, "b q"]:
        """Signed distance at the queries, from a context."""
        return self.decoder(context, queries)

    def decode(
        self,
        tokens: Float[Tensor, "b k c"],
        queries: Float[Tensor, "b q 3"],
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
    ) -> Float[Tensor, "b q"]:
        """Signed distance at the queries, negative inside, in normalised units."""
        return self.decoder(self.context(tokens, frame, centre=centre), queries)

    @staticmethod
    def _centre(centre: Tensor | None, like: Tensor) -> Tensor:
        return like.new_zeros(len(like), 3) if centre is None else centre

    def _check_frame(self, frame: Tensor | None) -> None:
        size = 0 if frame is None else frame.shape[1]
        if size != self.config.frame_size:
            raise ValueError(
                f"frame must have {self.config.frame_size} vectors for this model, got {size}"
            )
