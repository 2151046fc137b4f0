"""Fields on volumes learn to be mended beside points; encoder, decoder and flow stay as they are.

The loss is that of `band_loss`: of the field that the fixed decoder makes of the fixed encoder's
tokens of a scan, mended beside the points of the scan (`geoflow.backbones.point_residual`), and the
distances of the whole, clean shape. The narrow band, of a thin part, and the sharp sign are where a
mended field differs from the latent's. In half of the steps the latent has noise, as it is not the
points' own where shapes are drawn through points. Moving averages of the weights are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import nn

from geoflow.backbones.field_codec import SurfacePoints
from geoflow.models.volumes import VolumeGenerator
from geoflow.objectives import Losses
from geoflow.training.optimisation import Schedule
from geoflow.training.stages.autoencoder_part import AutoencoderPartStage
from geoflow.training.stages.band_loss import BandLoss, band_loss
from geoflow.training.stages.scans import (
    Scan,
    ScanOptions,
    distinct,
    draw_number,
    mirrored_at_random,
    scan,
    spare,
)
from geoflow.training.stages.shapes import frame_on
from geoflow.typing import Count, Share


def _dense_scans() -> ScanOptions:
    """Points that are near enough to each other to tell of thin parts, most of them clean."""
    return ScanOptions(
        fewest=64, most=4096, dense=0.0, bare=0.4, unoriented=0.05, noisy=0.6, noise=0.02
    )


@dataclass(frozen=True)
class VolumeResidualTraining(BandLoss):
    """Options of the stage."""

    steps: int = 12_000
    """Optimiser steps."""
    batch: Count = 4
    """Shapes of a step."""
    num_queries: Count = 1024
    """Query points of a shape in a step."""
    width: Count = 64
    """Of the network, where the model has none yet."""
    astray: Share = 0.5
    """Share of steps with noise on the latent."""
    ema: float = 0.998
    """Decay of the moving average of the weights."""
    schedule: Schedule = field(default_factory=Schedule)
    """Learning rate."""
    scans: ScanOptions = field(default_factory=_dense_scans)
    """What is shown of a shape."""


class VolumeResidualStage(AutoencoderPartStage[VolumeGenerator, Scan]):
    """Trains the network of a `VolumeGenerator` that mends fields beside points."""

    name = "residual"
    options_type = VolumeResidualTraining
    is_optional: ClassVar[bool] = True

    def add_part(self) -> None:
        """Such a network."""
        self.model.learn_to_mend(self.options.width)

    @property
    def part(self) -> nn.Module:
        """It."""
        residual: nn.Module = self.module.decoder.residual
        return residual

    def batch(self, generator: torch.Generator) -> Scan:
        """Scans of random shapes, mirrored at random."""
        options: VolumeResidualTraining = self.options
        num, data = draw_number(options.scans, generator), self.context.data
        indices = torch.randint(len(data), (options.batch,), generator=generator)
        shapes = data.batch(
            indices.numpy(),
            num_surface=spare(num),
            num_queries=options.num_queries,
            generator=generator,
        )
        # Points of users do not come twice.
        shapes = distinct(shapes)
        num = min(num, shapes.surface.shape[1])
        # Low noise is as likely as any other, and most scans have little.
        level = options.scans.noise * torch.rand((), generator=generator).item()
        kind = replace(options.scans, noise=level)
        made = scan(mirrored_at_random(shapes, generator), kind, num, generator)
        return made.to(self.context.device)

    def loss(self, batch: Scan, step: int, generator: torch.Generator) -> Losses:
        """Distance and sign of the mended field at the queries."""
        options: VolumeResidualTraining = self.options
        module, device = self.module, self.context.device
        frame = frame_on("frame", len(batch.points), device)
        with torch.no_grad():
            tokens = module.encode(batch.points, batch.normals, frame, oriented=batch.oriented)
            noise = torch.randn(tokens.shape, generator=generator).to(device)
            is_astray = torch.rand((), generator=generator).item() < options.astray
            tokens = tokens + is_astray * module.config.noise * noise
            context = module.context(tokens, frame)
        surface = SurfacePoints(batch.points, batch.normals, batch.oriented)
        through = module.through(context, surface)
        predicted = module.decoder(through, batch.queries).float()
        return band_loss(predicted, batch.sdf, options)
