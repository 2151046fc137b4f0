"""Scalar-vector layers: symmetry O(3), exactly.

A token carries scalars s (invariant) and vectors v (rotating with the space). Scalars may pass
through any function; vectors are only mixed linearly over channels, multiplied by scalars, and
read through inner products with each other and with a frame e_1..e_m. A frame is data, not
weights: rotating tokens and frame together rotates the output.

Reference: Deng et al., "Vector neurons", 2021, arXiv:2104.12229; Schuett et al., "Equivariant
message passing" (PaiNN), 2021, arXiv:2102.03150; Satorras et al., 2021, arXiv:2102.09844.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Keeps the norm's gradient finite at the zero vector, which forward-mode derivatives meet too.
_NORM_EPSILON = 1e-6


def safe_norm(v: Float[Tensor, "*s 3"]) -> Float[Tensor, "*s"]:
    """Euclidean norm sqrt(|v|^2 + eps^2), smooth at zero."""
    return (v.square().sum(-1) + _NORM_EPSILON**2).sqrt()


def fourier(x: Float[Tensor, "*s d"], num_frequencies: int) -> Float[Tensor, "*s e"]:
    """Coordinates x with sin and cos of pi 2^j x, j < num_frequencies."""
    scale = math.pi * 2.0 ** torch.arange(num_frequencies, device=x.device, dtype=x.dtype)
    phase = (x[..., None, :] * scale[:, None]).flatten(-2)
    return torch.cat([x, phase.sin(), phase.cos()], dim=-1)


def frame_coordinates(
    v: Float[Tensor, "b *s 3"], frame: Float[Tensor, "b m 3"] | None
) -> Float[Tensor, "b *s m"]:
    """Inner products of vectors with the frame's; no channels without a frame."""
    if frame is None:
        return v[..., :0]
    return torch.einsum("b...i,bmi->b...m", v, frame)


class VectorLinear(nn.Module):
    """Linear mix of vector channels, without bias: the only linear map that commutes with O(3)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(channels_in, 1))
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in) * bound)

    def forward(self, v: Float[Tensor, "*s c 3"]) -> Float[Tensor, "*s d 3"]:
        """Mix the channel axis."""
        return torch.einsum("dc,...ci->...di", self.weight, v)


class Invariants(nn.Module):
    """Scalars of a set of vectors: norms, inner products of two mixes, frame coordinates."""

    def __init__(self, vectors: int, frame_size: int) -> None:
        super().__init__()
        self.left = VectorLinear(vectors, vectors)
        self.right = VectorLinear(vectors, vectors)
        self.channels = vectors * (2 + frame_size)

    def forward(
        self, v: Float[Tensor, "b *s c 3"], frame: Float[Tensor, "b m 3"] | None
    ) -> Float[Tensor, "b *s d"]:
        """Concatenate the three kinds of scalars."""
        product = (self.left(v) * self.right(v)).sum(-1)
        coordinates = frame_coordinates(v, frame).flatten(-2)
        return torch.cat([safe_norm(v), product, coordinates], dim=-1)


def expand_frame(
    coefficients: Float[Tensor, "b *s d"], frame: Float[Tensor, "b m 3"] | None, channels: int
) -> Float[Tensor, "b *s c 3"] | float:
    """Vectors with given coordinates in the frame; zero without a frame."""
    if frame is None:
        return 0.0
    shaped = coefficients.unflatten(-1, (channels, frame.shape[1]))
    return torch.einsum("b...cm,bmi->b...ci", shaped, frame)


class VectorNorm(nn.Module):
    """Divide a token's vectors by their common root mean square; learned gain per channel."""

    def __init__(self, vectors: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(vectors))

    def forward(self, v: Float[Tensor, "*s c 3"]) -> Float[Tensor, "*s c 3"]:
        """Scale all channels alike; finite at zero."""
        scale = (v.square().sum(-1).mean(-1) + 1e-4).rsqrt()
        return v * scale[..., None, None] * self.gain[:, None]


def attend(
    queries: Float[Tensor, "b k d"],
    keys: Float[Tensor, "b n d"],
    scalar_values: Float[Tensor, "b n e"],
    vector_values: Float[Tensor, "b n c 3"],
    heads: int,
    *,
    temperature: float | None = None,
) -> tuple[Float[Tensor, "b k e"], Float[Tensor, "b k c 3"]]:
    """Multi-head attention whose weights are invariant, so that vectors may be averaged too.

    Products of queries and keys are divided by the temperature (default: the root of a head's
    channels). Written out, since fused kernels have no forward-mode derivative.
    """
    q = queries.unflatten(-1, (heads, -1)).transpose(1, 2)
    k = keys.unflatten(-1, (heads, -1)).transpose(1, 2)
    channels = vector_values.shape[-2]
    values = torch.cat(
        [
            scalar_values.unflatten(-1, (heads, -1)),
            vector_values.unflatten(-2, (heads, -1)).flatten(-2),
        ],
        dim=-1,
    ).transpose(1, 2)
    divisor = math.sqrt(q.shape[-1]) if temperature is None else temperature
    weights = (q @ k.transpose(-1, -2) / divisor).softmax(-1)
    mixed = (weights @ values).transpose(1, 2)
    split = scalar_values.shape[-1] // heads
    scalars = mixed[..., :split].flatten(-2)
    vectors = mixed[..., split:].unflatten(-1, (channels // heads, 3)).flatten(-3, -2)
    return scalars, vectors


class ScalarVectorMLP(nn.Module):
    """Pre-norm feed-forward part of a token: reads scalars and the invariants of its vectors.

    Answers with scalars, gates for a mix of the vectors, and coordinates in the frame.
    """

    def __init__(
        self, width: int, vectors: int, *, frame_size: int, expansion: int, modulated: bool
    ) -> None:
        super().__init__()
        self.vectors = vectors
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=not modulated)
        self.norm_vectors = VectorNorm(vectors)
        self.invariants = Invariants(vectors, frame_size)
        self.up = nn.Linear(width + self.invariants.channels, expansion * width)
        self.down = nn.Linear(expansion * width, width + vectors * (1 + frame_size))
        self.vector_mix = VectorLinear(vectors, vectors)

    def feed_forward(
        self,
        s: Float[Tensor, "b k d"],
        v: Float[Tensor, "b k c 3"],
        frame: Float[Tensor, "b m 3"] | None,
        *,
        shift: Tensor | float = 0.0,
        scale: Tensor | float = 0.0,
        gate: Tensor | float = 1.0,
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        """The residual update; shift, scale and gate (b, 1, d) come from a condition."""
        normed = self.norm_vectors(v)
        features = [self.norm_mlp(s) * (1 + scale) + shift, self.invariants(normed, frame)]
        out = self.down(nn.functional.silu(self.up(torch.cat(features, dim=-1))))
        width = s.shape[-1]
        s = s + gate * out[..., :width]
        gates = out[..., width : width + self.vectors, None]
        v = v + gates * self.vector_mix(normed)
        v = v + expand_frame(out[..., width + self.vectors :], frame, self.vectors)
        return s, v


class ScalarVectorBlock(ScalarVectorMLP):
    """Pre-norm transformer block on tokens of scalars and vectors, optionally modulated.

    Attention weights come from scalars alone, so that vectors may be averaged with them.
    """

    def __init__(
        self,
        width: int,
        vectors: int,
        *,
        heads: int,
        frame_size: int,
        expansion: int = 3,
        modulated: bool = False,
    ) -> None:
        super().__init__(
            width, vectors, frame_size=frame_size, expansion=expansion, modulated=modulated
        )
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=not modulated)
        self.qkv = nn.Linear(width, 3 * width)
        self.vector_values = VectorLinear(vectors, vectors)
        self.scalar_out = nn.Linear(width, width)
        self.vector_out = VectorLinear(vectors, vectors)
        # The block's own offset to the modulation that all blocks share.
        self.modulation = nn.Parameter(torch.zeros(6 * width)) if modulated else None

    def forward(
        self,
        s: Float[Tensor, "b k d"],
        v: Float[Tensor, "b k c 3"],
        frame: Float[Tensor, "b m 3"] | None,
        modulation: Float[Tensor, "b e"] | None = None,
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k c 3"]]:
        """Both residual updates; `modulation` holds shifts, scales and gates, 6 d channels."""
        a = self.norm_attention(s)
        gate_a: Tensor | float = 1.0
        of_mlp = {}
        if self.modulation is not None and modulation is not None:
            parts = (modulation + self.modulation)[:, None].chunk(6, dim=-1)
            shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = parts
            gate_a, of_mlp = 1 + gate_a, {"shift": shift_m, "scale": scale_m, "gate": 1 + gate_m}
            a = a * (1 + scale_a) + shift_a
        q, k, values = self.qkv(a).chunk(3, dim=-1)
        ds, dv = attend(q, k, values, self.vector_values(self.norm_vectors(v)), self.heads)
        s = s + gate_a * self.scalar_out(ds)
        v = v + self.vector_out(dv)
        return self.feed_forward(s, v, frame, **of_mlp)
