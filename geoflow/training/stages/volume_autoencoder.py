"""First stage of models of many things: the autoencoder on volumes, shown points of every kind.

The loss is that of `field_autoencoder`; what is encoded is a scan (`scans.py`): any number of
points, with normals, without them or with unoriented ones, noisy, uneven or cut, in any place that
a user's normalisation may leave them in. Distances are those of the whole, clean shape. Moving
averages of the weights are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from geoflow.models.volumes import VolumeGenerator
from geoflow.objectives import Losses
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context
from geoflow.training.stages.autoencoder_part import AveragedAutoencoderStage
from geoflow.training.stages.field_autoencoder import FieldLoss, field_loss
from geoflow.training.stages.keeping import Beginning
from geoflow.training.stages.scans import Scan, ScanOptions, random_scan
from geoflow.training.stages.shapes import frame_on
from geoflow.typing import Count


@dataclass(frozen=True)
class VolumeTraining(FieldLoss):
    """Options of the first stage of a model of many things."""

    steps: int = 24_000
    """Optimiser steps."""
    batch: Count = 4
    """Shapes of a step."""
    num_queries: Count = 2048
    """Query points of a shape in a step."""
    ema: float = 0.998
    """Decay of the moving average of the weights."""
    scans: ScanOptions = field(default_factory=ScanOptions)
    """What is shown of a shape."""


class VolumeAutoencoderStage(AveragedAutoencoderStage[VolumeGenerator, Scan]):
    """Trains the autoencoder of a `VolumeGenerator`."""

    name = "autoencoder"
    options_type = VolumeTraining
    advice = "lower the learning rate or look at the data's distances"

    def __init__(self, options: VolumeTraining, context: Context) -> None:
        super().__init__(options, context)
        self._mending = self.model.mending()
        if options.steps > 0:
            # It knows the fields of this decoder as it was.
            self.model.forget_to_mend()
        self._beginning = Beginning(self)

    @classmethod
    def fine_tuning(cls) -> VolumeTraining:
        """A tenth of the steps at a third of the rate, for weights that are good already."""
        return VolumeTraining(steps=2_400, schedule=Schedule(learning_rate=1e-3))

    def batch(self, generator: torch.Generator) -> Scan:
        """Scans of random shapes, mirrored at random."""
        options: VolumeTraining = self.options
        made = random_scan(
            self.context.data,
            options.batch,
            options.scans,
            num_queries=options.num_queries,
            generator=generator,
        )
        return made.to(self.context.device)

    def loss(self, batch: Scan, step: int, generator: torch.Generator) -> Losses:
        """Distance and sign at the queries, from a latent with noise."""
        options: VolumeTraining = self.options
        module, device = self.module, self.context.device
        frame = frame_on("frame", len(batch.points), device)
        tokens = module.encode(batch.points, batch.normals, frame, oriented=batch.oriented)
        noise = torch.randn(tokens.shape, generator=generator).to(device)
        predicted = module.decode(tokens + module.config.noise * noise, batch.queries, frame)
        distance, sign = field_loss(predicted.float(), batch.sdf, options)
        return Losses(distance + options.sign_weight * sign, {"distance": distance, "sign": sign})

    def finish(self) -> None:
        """As of others; an autoencoder that stays as it was knows how to mend its fields, too."""
        super().finish()
        if self._beginning.is_kept and self._mending is not None:
            self.model.mend_as(self._mending)
