"""First stage: the field autoencoder, trained on signed distances.

    L = E |clamp(f, c) - clamp(d, c)| / c + w BCE(k f, d > 0)

c clamps the distance to a band about the surface, k is the sharpness of the sign. Latents get
Gaussian noise, so that the decoder draws whole shapes from latents that are slightly off, as a
generator's are. Shapes are mirrored left to right half of the time.

Reference: Park et al., "DeepSDF", 2019, arXiv:1901.05103 (clamped distance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.field import FieldAutoencoder
from geoflow.models.fields import Generator
from geoflow.objectives import Losses
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context, Stage, StageOptions
from geoflow.training.stages.keeping import Beginning
from geoflow.training.stages.shapes import draw_shapes, frame_on
from geoflow.typing import Count, NonNegative, Positive, ShapeBatch


@dataclass(frozen=True)
class FieldLoss(StageOptions):
    """How predicted distances are judged."""

    clamp: Positive = 0.1
    """Half width of the band in which distances count."""
    sign_weight: NonNegative = 0.1
    """Weight of the sign's cross-entropy."""
    sharpness: Positive = 40.0
    """Logits of the sign per unit of distance."""


@dataclass(frozen=True)
class AutoencoderTraining(FieldLoss):
    """Options of the first stage."""

    steps: int = 11_000
    """Optimiser steps."""
    batch: Count = 16
    """Shapes of a step."""
    num_surface: Count = 384
    """Surface points that the encoder reads."""
    num_queries: Count = 384
    """Query points of a shape in a step."""
    mirror: bool = True
    """Mirror shapes left to right at random."""


def field_loss(
    predicted: Float[Tensor, "b q"], sdf: Float[Tensor, "b q"], options: FieldLoss
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Clamped distance term and sign term of each shape, before weighting."""
    c = options.clamp
    distance = (predicted.clamp(-c, c) - sdf.clamp(-c, c)).abs().mean(1) / c
    sign = nn.functional.binary_cross_entropy_with_logits(
        predicted * options.sharpness, (sdf > 0).to(predicted.dtype), reduction="none"
    )
    return distance, sign.mean(1)


class FieldAutoencoderStage(Stage[Generator, ShapeBatch]):
    """Trains the autoencoder of a `Generator`."""

    name = "autoencoder"
    options_type = AutoencoderTraining
    advice = "lower the learning rate or look at the data's distances"
    keeps_average: ClassVar[bool] = False

    def __init__(self, options: AutoencoderTraining, context: Context) -> None:
        super().__init__(options, context)
        if options.steps > 0 and self.model.reads_bare_points:
            # It is trained on clean points, and would read scans worse and worse.
            self.model.forget_scans()
        self._beginning = Beginning(self)

    @property
    def module(self) -> FieldAutoencoder:
        """The autoencoder."""
        return self.model.autoencoder

    @classmethod
    def fine_tuning(cls) -> AutoencoderTraining:
        """A tenth of the steps at a third of the rate, for weights that are good already."""
        return AutoencoderTraining(steps=1_100, schedule=Schedule(learning_rate=1e-3))

    def batch(self, generator: torch.Generator) -> ShapeBatch:
        """Random shapes, mirrored at random."""
        options: AutoencoderTraining = self.options
        return draw_shapes(
            self.context.data,
            options.batch,
            num_surface=options.num_surface,
            num_queries=options.num_queries,
            mirror=options.mirror,
            generator=generator,
            device=self.context.device,
        )

    def loss(self, batch: ShapeBatch, step: int, generator: torch.Generator) -> Losses:
        """Distance and sign at the queries, from a latent with noise."""
        options: AutoencoderTraining = self.options
        normals, queries, sdf = batch.field()
        module, device = self.module, self.context.device
        frame = frame_on(self.model.config.symmetry, len(batch.surface), device)
        tokens = module.encode(batch.surface, normals, frame)
        noise = torch.randn(tokens.shape, generator=generator).to(device)
        predicted = module.decode(tokens + module.config.noise * noise, queries, frame)
        distance, sign = field_loss(predicted.float(), sdf, options)
        return Losses(distance + options.sign_weight * sign, {"distance": distance, "sign": sign})

    def finish(self) -> None:
        """What tuning has not made better is kept as it was."""
        self.said = self._beginning.keep_better(self)
