"""Signed-distance field autoencoder on volumes: symmetry E(3) with the frame turning along.

Everything is a function of coordinates u_i = <p - c, e_i> in the frame that a shape is given, so
that z(R p + tau; R e) = z(p; e) and f(R q + tau; z, R e) = f(q; z, e), exactly. Points of any
number, with normals, with normals of unknown sign or with none, are spread to a volume;
convolutions gather it to a coarse one whose cells are the latent tokens, and convolutions spread
the tokens to volumes of features that a small network reads at any query. What a patch of surface
looks like is so learned once for all places and all shapes.

Reference: Peng et al., "Convolutional occupancy networks", 2020, arXiv:2003.04618; here with a
latent between, small enough to be generated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.condition import check_frame
from geoflow.backbones.field_codec import FieldCodec, SurfacePoints
from geoflow.backbones.layers import fourier, safe_norm
from geoflow.backbones.point_residual import NearPoints, PointResidual
from geoflow.backbones.volume_layers import (
    BOUND,
    CellBlock,
    VolumeBlock,
    in_frame,
    read_volume,
    spread,
)

# Radius of the sphere that an untrained decoder draws, and its field's slope.
_SPHERE_RADIUS, _SPHERE_SLOPE = 0.5, 0.2
_POINT_WIDTH = 64
# A normal, its six products of pairs, whether it is known, and whether its sign is.
_OF_NORMAL = 3 + 6 + 2


@dataclass(frozen=True)
class VolumeConfig:
    """Sizes of a volume autoencoder; its finest volume has 8 `cells` along an edge, or 16."""

    cells: int = 4
    """Latent cells along an edge; the tokens are their cube."""
    scalars: int = 64
    """Latent numbers of a token."""
    widths: tuple[int, ...] = (192, 96, 48, 16)
    """Channels of the volumes of 1, 2, 4, 8 and, with a fifth number, 16 `cells` along an edge."""
    cell_blocks: int = 2
    """Transformer blocks on the latent cells, in the encoder and in the decoder."""
    coarse_blocks: int = 2
    """Convolution blocks at 2 `cells`, likewise."""
    fine_blocks: int = 1
    """Convolution blocks at 4 `cells`, likewise."""
    hidden: int = 96
    """Width of the network that reads queries."""
    layers: int = 3
    """Its residual layers, two matrix products each."""
    heads: int = 8
    """Attention heads."""
    frequencies: int = 6
    """Octaves of the Fourier features of coordinates."""
    noise: float = 0.1
    """Standard deviation of the Gaussian added to the latent in training."""
    residual: int = 0
    """Width of the network that mends fields beside points; 0: there is none."""

    def __post_init__(self) -> None:
        """Check the number of volumes, and heads.

        Raises:
            ValueError: if there are not four or five, heads do not divide the first, or four, the
                residual's heads, not its width.
        """
        if len(self.widths) not in (4, 5):
            raise ValueError(f"widths must be four or five numbers, got {len(self.widths)}")
        if self.heads < 1 or self.widths[0] % self.heads:
            raise ValueError(f"heads must divide {self.widths[0]}, got {self.heads}")
        if self.residual < 0 or self.residual % 4:
            raise ValueError(f"residual must be a multiple of 4, got {self.residual}")

    @property
    def detail(self) -> int:
        """Channels of the volume of 16 `cells`; 0 where there is none."""
        return self.widths[4] if len(self.widths) == 5 else 0

    @property
    def frame_size(self) -> int:
        """Frame vectors given with each shape: always three."""
        return 3

    @property
    def vectors(self) -> int:
        """Latent vectors of a token: none, the tokens are numbers in the frame."""
        return 0

    @property
    def num_tokens(self) -> int:
        """Latent tokens."""
        return self.cells**3

    @property
    def channels(self) -> int:
        """Numbers of one packed token."""
        return self.scalars


class VolumeEncoder(nn.Module):
    """Points to latent tokens, each of unit root mean square."""

    def __init__(self, config: VolumeConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third, fourth = config.widths[:4]
        coordinates = 3 + 6 * config.frequencies
        self.read = nn.Sequential(
            nn.Linear(coordinates + _OF_NORMAL, _POINT_WIDTH),
            nn.SiLU(),
            nn.Linear(_POINT_WIDTH, fourth + config.detail),
        )
        if config.detail:
            self.down_detail = nn.Conv3d(config.detail + 2, fourth, 2, stride=2)
        self.down_fine = nn.Conv3d(fourth + 2, third, 2, stride=2)
        self.fine = nn.Sequential(*(VolumeBlock(third) for _ in range(config.fine_blocks)))
        self.down_coarse = nn.Conv3d(third, second, 2, stride=2)
        self.coarse = nn.Sequential(*(VolumeBlock(second) for _ in range(config.coarse_blocks)))
        self.down_cells = nn.Conv3d(second, first, 2, stride=2)
        self.position = nn.Parameter(torch.randn(config.num_tokens, first) * 0.3)
        self.blocks = nn.Sequential(
            *(CellBlock(first, config.heads) for _ in range(config.cell_blocks))
        )
        self.to_tokens = nn.Sequential(nn.LayerNorm(first), nn.Linear(first, config.scalars))

    def forward(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        frame: Float[Tensor, "b 3 3"],
        centre: Float[Tensor, "b 3"],
        *,
        oriented: bool = True,
    ) -> Float[Tensor, "b k c"]:
        """Tokens of points whose normals are known, known but for their sign, or not known."""
        u = in_frame(surface - centre[:, None], frame).clamp(-BOUND, BOUND)
        known = _known(u, normals, frame, oriented=oriented)
        features = self.read(torch.cat([fourier(u, self.config.frequencies), known], -1))
        features = features.to(u.dtype)
        cells, fourth = self.config.cells, self.config.widths[3]
        x = spread(u, features[..., :fourth], 8 * cells)
        if self.config.detail:
            # What two points of a cell differ in is told by halves of it.
            halves = self.down_detail(spread(u, features[..., fourth:], 16 * cells))
            x = torch.cat([x[:, :fourth] + halves, x[:, fourth:]], dim=1)
        x = self.coarse(self.down_coarse(self.fine(self.down_fine(x))))
        x = self.down_cells(x).flatten(2).transpose(1, 2) + self.position
        tokens = self.to_tokens(self.blocks(x)).to(u.dtype)
        return tokens * (tokens.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def _known(
    u: Float[Tensor, "b n 3"],
    normals: Float[Tensor, "b n 3"] | None,
    frame: Float[Tensor, "b 3 3"],
    *,
    oriented: bool,
) -> Float[Tensor, "b n c"]:
    """What is known of the normals of points u, as numbers in the frame."""
    known = u.new_zeros(*u.shape[:2], _OF_NORMAL)
    if normals is not None:
        n = in_frame(normals, frame)
        pairs = [n[..., i] * n[..., j] for i in range(3) for j in range(i, 3)]
        known[..., 3:9] = torch.stack(pairs, -1)
        known[..., 9] = 1.0
        if oriented:
            known[..., :3] = n
            known[..., 10] = 1.0
    return known


class VolumeContext(NamedTuple):
    """What is kept of a batch of latents: volumes of features, and where the shapes stand."""

    volumes: tuple[Float[Tensor, "b _ _ _ _"], ...]
    frame: Float[Tensor, "b 3 3"]
    centre: Float[Tensor, "b 1 3"]
    points: NearPoints | None = None
    """Of the surfaces, beside which the fields are mended."""


def _residual(config: VolumeConfig) -> PointResidual | None:
    """The network that mends fields beside points, where there is to be one."""
    features = config.widths[2] + config.widths[3] + config.detail
    return PointResidual(_OF_NORMAL, features, config.residual) if config.residual else None


class VolumeDecoder(nn.Module):
    """Latent tokens to a signed distance at any point."""

    def __init__(self, config: VolumeConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third, fourth = config.widths[:4]
        self.embed = nn.Linear(config.scalars, first)
        self.position = nn.Parameter(torch.randn(config.num_tokens, first) * 0.3)
        self.blocks = nn.Sequential(
            *(CellBlock(first, config.heads) for _ in range(config.cell_blocks))
        )
        self.up_coarse = nn.ConvTranspose3d(first, second, 2, stride=2)
        self.coarse = nn.Sequential(*(VolumeBlock(second) for _ in range(config.coarse_blocks)))
        self.up_fine = nn.ConvTranspose3d(second, third, 2, stride=2)
        self.fine = nn.Sequential(*(VolumeBlock(third) for _ in range(config.fine_blocks)))
        self.up_finest = nn.ConvTranspose3d(third, fourth, 2, stride=2)
        self.finest = nn.Conv3d(fourth, fourth, 3, padding=1)
        if config.detail:
            self.up_detail = nn.ConvTranspose3d(fourth, config.detail, 2, stride=2)
        coordinates = 3 + 6 * config.frequencies
        self.read = nn.Linear(third + fourth + config.detail + coordinates, config.hidden)
        square = (config.hidden, config.hidden)
        self.first = nn.ModuleList(nn.Linear(*square) for _ in range(config.layers))
        self.second = nn.ModuleList(nn.Linear(*square) for _ in range(config.layers))
        for layer in self.second:
            nn.init.normal_(layer.weight, std=0.3 / config.hidden**0.5)  # type: ignore[arg-type]
        self.out = nn.Linear(config.hidden, 1)
        # An untrained decoder draws a sphere, so that the shortest of runs has a surface.
        self.sphere = nn.Parameter(torch.tensor(_SPHERE_SLOPE))
        self.residual = _residual(config)

    def context(
        self,
        tokens: Float[Tensor, "b k c"],
        frame: Float[Tensor, "b 3 3"],
        centre: Float[Tensor, "b 3"],
    ) -> VolumeContext:
        """Everything that does not depend on the query point."""
        cells = self.config.cells
        x = self.blocks(self.embed(tokens) + self.position)
        x = x.transpose(1, 2).unflatten(-1, (cells, cells, cells))
        fine = self.fine(self.up_fine(self.coarse(self.up_coarse(x))))
        finest = self.up_finest(fine)
        finest = finest + self.finest(nn.functional.silu(finest))
        volumes = [fine, finest]
        if self.config.detail:
            volumes.append(self.up_detail(nn.functional.silu(finest)))
        kept = tuple(volume.to(tokens.dtype) for volume in volumes)
        return VolumeContext(kept, frame, centre[:, None])

    def through(self, context: VolumeContext, surface: SurfacePoints) -> VolumeContext:
        """The context of fields that are mended beside points of their surfaces.

        Raises:
            ValueError: without a network for it, or for a single point.
        """
        if self.residual is None:
            raise ValueError("this model did not learn to mend fields beside points")
        points, normals, oriented = surface
        if points.shape[1] < 2:
            raise ValueError(f"fields are mended beside two points or more, got {points.shape[1]}")
        latent = context._replace(points=None)
        with torch.enable_grad():
            places = points.detach().clone().requires_grad_(True)
            error = self(latent, places)
            (slope,) = torch.autograd.grad(error.sum(), places)
        slope = in_frame(slope / safe_norm(slope)[..., None], context.frame)
        u = in_frame(points - context.centre, context.frame)
        known = _known(u, normals, context.frame, oriented=oriented)
        return context._replace(points=self.residual.read(u, known, error.detach(), slope))

    def forward(
        self, context: VolumeContext, queries: Float[Tensor, "b q 3"]
    ) -> Float[Tensor, "b q"]:
        """Signed distance at the query points."""
        relative = queries - context.centre
        u = in_frame(relative, context.frame)
        features = torch.cat([read_volume(volume, u) for volume in context.volumes], -1)
        h = self.read(torch.cat([features, fourier(u, self.config.frequencies)], -1))
        for first, second in zip(self.first, self.second, strict=True):
            h = h + second(nn.functional.silu(first(nn.functional.silu(h))))
        value = self.out(nn.functional.silu(h))[..., 0]
        field = 0.1 * value + self.sphere * (safe_norm(relative) - _SPHERE_RADIUS)
        if context.points is None or self.residual is None:
            return field
        mended: Tensor = self.residual(context.points, u, field, features)
        return mended

    def folded(
        self, context: VolumeContext
    ) -> Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]]:
        """Signed distance of one shape as a function of points; there is nothing left to fold."""

        def distance(points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
            field: Tensor = self(context, points[None])
            return field[0]

        return distance


class VolumeAutoencoder(FieldCodec):
    """Points to latent tokens to a signed-distance field."""

    def __init__(self, config: VolumeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VolumeEncoder(config)
        self.decoder = VolumeDecoder(config)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def encode(
        self,
        surface: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
        *,
        centre: Float[Tensor, "b 3"] | None = None,
        oriented: bool = True,
    ) -> Float[Tensor, "b k c"]:
        """Latent tokens about `centre` (default: the origin).

        Args:
            surface: points; all but outliers within BOUND of the centre along each frame vector.
            normals: None where they are not known.
            frame: three vectors.
            centre: of the volume.
            oriented: whether the normals point outward; else either way.

        Raises:
            ValueError: if the frame does not have three vectors.
        """
        check_frame(frame, 3, "frame")
        assert frame is not None
        return self.encoder(
            surface, normals, frame, self._centre(centre, surface), oriented=oriented
        )

    def learn_to_mend(self, width: int) -> None:
        """Have a fresh network that mends fields beside points; of no width, have none."""
        self.config = replace(self.config, residual=width)
        self.encoder.config = self.decoder.config = self.config
        like = self.decoder.sphere
        made = _residual(self.config)
        self.decoder.residual = None if made is None else made.to(like.device, like.dtype)

    @property
    def mends(self) -> bool:
        """Whether there is a network for it."""
        return self.decoder.residual is not None

    def through(self, context: VolumeContext, surface: SurfacePoints) -> VolumeContext:
        """The context of fields that are mended beside points of their surfaces.

        Raises:
            ValueError: without a network for it, or for a single point.
        """
        mended: VolumeContext = self.decoder.through(context, surface)
        return mended
