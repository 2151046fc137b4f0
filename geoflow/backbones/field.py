"""Signed-distance field autoencoder: symmetry E(3) with a frame that turns along.

Encoder: surface points with normals, and an optional frame -> k latent tokens of scalars and
vectors about the centroid. Decoder: f(q; z) reads only inner products of q - centre with
vectors of the latent and of the frame, so that f(R q + tau; R z + tau) = f(q; z).

Reference: Park et al., "DeepSDF", 2019, arXiv:1901.05103, with the encoder of
`shape_encoder.py` and the decoder of `modulated.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import check_frame
from geoflow.backbones.field_codec import FieldCodec
from geoflow.backbones.folded import Folded
from geoflow.backbones.layers import safe_norm
from geoflow.backbones.modulated import Context, Modulated
from geoflow.backbones.shape_encoder import Encoder, ScanEncoder, ShapeConfig

# Radius of the sphere that an untrained decoder draws, and its field's slope.
_SPHERE_RADIUS, _SPHERE_SLOPE = 0.5, 0.2


class FieldDecoder(Modulated):
    """Latent tokens to a signed distance at any point."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__(config)
        self.out = nn.Linear(config.decoder_width, 1)
        # An untrained decoder draws a sphere, so that the shortest of runs has a surface; training
        # soon turns the weight of it to zero.
        self.sphere = nn.Parameter(torch.tensor(_SPHERE_SLOPE))

    def forward(self, context: Context, queries: Float[Tensor, "b q 3"]) -> Float[Tensor, "b q"]:
        """Signed distance at the query points."""
        radius = safe_norm(queries - context.centre)
        value = self.out(self.hidden(context, queries))[..., 0]
        return 0.1 * value + self.sphere * (radius - _SPHERE_RADIUS)

    def folded(self, context: Context) -> Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]]:
        """The field of one shape as a function of points, fast and without gradients.

        Raises:
            ValueError: for a context of several shapes.
        """
        features = Folded(self, context)
        with torch.no_grad():
            weight = 0.1 * self.out.weight[0]
            bias = 0.1 * self.out.bias + weight @ features.constant - self.sphere * _SPHERE_RADIUS

        @torch.no_grad()
        def distance(points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
            relative = points - context.centre[0]
            return features(relative) @ weight + bias + self.sphere * safe_norm(relative)

        return distance


class FieldAutoencoder(FieldCodec):
    """Surface points to latent tokens to a signed-distance field."""

    encoder: Encoder
    scan_encoder: ScanEncoder | None
    """Of points as scans have them, where there is one."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.scan_encoder = ScanEncoder(config) if config.scans else None
        self.decoder = FieldDecoder(config)

    def encode(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
        scanned: bool = False,
    ) -> Float[Tensor, "b k c"]:
        """Packed latent tokens about `centre` (default: the origin).

        Args:
            surface: points.
            normals: outward, of unit length.
            frame: that turns along.
            centre: that vectors start from.
            scanned: whether the points are as scans have them, for the encoder of those; without
                normals they always are, where there is one.

        Raises:
            ValueError: if the frame does not have `config.frame_size` vectors, or normals are
                not given as `config.normals` says.
        """
        check_frame(frame, self.config.frame_size, "frame")
        encoder: Encoder = self.encoder
        if self.scan_encoder is not None and (scanned or normals is None):
            encoder = self.scan_encoder
        tokens: Tensor = encoder(surface, normals, frame, self._centre(centre, surface))
        return tokens
