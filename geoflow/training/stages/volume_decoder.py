"""Fields on volumes end where they should: the decoder goes on alone, encoder and flow stay.

The loss is that of `band_loss`, of the field that the decoder makes of the fixed encoder's tokens.
As these are what they were, a flow that learnt to draw them draws finer shapes. In a share of the
steps points are whole and clean, and read as those of meshes are, which is what a flow learns from;
in the others they are scans. The latent has noise of any level up to the autoencoder's own. Moving
averages of the weights are kept. What mends fields beside points is left as it is, and may go on
after it (`volume_residual`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.models.volumes import VolumeGenerator
from geoflow.objectives import Losses
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context
from geoflow.training.stages.autoencoder_part import AutoencoderPartStage
from geoflow.training.stages.band_loss import BandLoss, band_loss
from geoflow.training.stages.scans import ScanOptions, random_scan
from geoflow.training.stages.shapes import draw_shapes, frame_on
from geoflow.typing import Count, Share


@dataclass(frozen=True)
class VolumeDecoderTraining(BandLoss):
    """Options of the stage."""

    steps: int = 900
    """Optimiser steps."""
    batch: Count = 20
    """Shapes of a step."""
    num_surface: Count = 2048
    """Points of a whole shape."""
    num_queries: Count = 2048
    """Query points of a shape in a step."""
    whole: Share = 0.5
    """Share of steps with whole shapes, the others with scans."""
    ema: float = 0.995
    """Decay of the moving average of the weights."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=8e-4))
    """Learning rate."""
    scans: ScanOptions = field(default_factory=ScanOptions)
    """What is shown of a shape."""


@dataclass(frozen=True)
class Seen:
    """Latents of shapes, and queries with distances beside them."""

    tokens: Float[Tensor, "b k c"]
    queries: Float[Tensor, "b q 3"]
    sdf: Float[Tensor, "b q"]


class VolumeDecoderStage(AutoencoderPartStage[VolumeGenerator, Seen]):
    """Trains the decoder of a `VolumeGenerator`, but for the network that mends its fields."""

    name = "decoder"
    options_type = VolumeDecoderTraining
    is_optional: ClassVar[bool] = True

    def __init__(self, options: VolumeDecoderTraining, context: Context) -> None:
        super().__init__(options, context)
        if self.module.mends:
            self.part.residual.requires_grad_(False)
        # Points are read again as the first decoder's field says, so that latents stay.
        self._reader = copy.copy(self.model)
        self._reader.autoencoder = copy.deepcopy(self.module)

    def add_part(self) -> None:
        """There always is one."""

    @property
    def part(self) -> nn.Module:
        """The decoder."""
        decoder: nn.Module = self.module.decoder
        return decoder

    def batch(self, generator: torch.Generator) -> Seen:
        """Latents of random shapes, mirrored at random: of all their points, or of scans."""
        options: VolumeDecoderTraining = self.options
        data, reader, device = self.context.data, self._reader, self.context.device
        if torch.rand((), generator=generator).item() < options.whole:
            shapes = draw_shapes(
                data,
                options.batch,
                num_surface=options.num_surface,
                num_queries=options.num_queries,
                mirror=True,
                generator=generator,
                device=device,
            )
            normals, queries, sdf = shapes.field()
            return Seen(reader.encode_mesh_points(shapes.surface, normals), queries, sdf)
        seen = random_scan(
            data,
            options.batch,
            options.scans,
            num_queries=options.num_queries,
            generator=generator,
        ).to(device)
        tokens = reader.encode(seen.points, seen.normals, oriented=seen.oriented)
        return Seen(tokens, seen.queries, seen.sdf)

    def loss(self, batch: Seen, step: int, generator: torch.Generator) -> Losses:
        """Distance and sign at the queries, from latents with noise."""
        module, device = self.module, self.context.device
        level = torch.rand(len(batch.tokens), 1, 1, generator=generator)
        noise = level * torch.randn(batch.tokens.shape, generator=generator)
        tokens = batch.tokens + module.config.noise * noise.to(device)
        predicted = module.decode(tokens, batch.queries, frame_on("frame", len(tokens), device))
        return band_loss(predicted.float(), batch.sdf, self.options)
