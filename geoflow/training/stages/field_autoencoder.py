"""First stage: the field autoencoder, trained on signed distances.

    L = E |clamp(f, c) - clamp(d, c)| / c + w BCE(k f, d > 0)

c clamps the distance to a band about the surface, k is the sharpness of the sign. Latents get
Gaussian noise, so that the decoder draws whole shapes from latents that are slightly off, as a
generator's are. Shapes are mirrored left to right half of the time.

Reference: Park et al., "DeepSDF", 2019, arXiv:1901.05103 (clamped distance).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.field import FieldAutoencoder
from geoflow.seeds import step_generator
from geoflow.symmetry import Symmetry, upright_frame
from geoflow.training.loop import Progress, descend
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.typing import ShapeDataset

STAGE = "autoencoder"


@dataclass(frozen=True)
class AutoencoderTraining:
    """Options of the first stage."""

    steps: int = 10_000
    """Optimiser steps."""
    batch: int = 16
    """Shapes of a step."""
    num_surface: int = 384
    """Surface points that the encoder reads."""
    num_queries: int = 768
    """Query points of a shape in a step."""
    clamp: float = 0.1
    """Half width of the band in which distances count."""
    sign_weight: float = 0.1
    """Weight of the sign's cross-entropy."""
    sharpness: float = 40.0
    """Logits of the sign per unit of distance."""
    mirror: bool = True
    """Mirror shapes left to right at random."""
    bf16: bool = True
    """Run the network under bfloat16 autocast."""
    schedule: Schedule = field(default_factory=Schedule)
    """Learning rate."""

    @staticmethod
    def fine_tuning() -> AutoencoderTraining:
        """A tenth of the steps at a third of the rate, for weights that are good already."""
        return AutoencoderTraining(steps=1_000, schedule=Schedule(learning_rate=1e-3))


def field_loss(
    predicted: Float[Tensor, "b q"], sdf: Float[Tensor, "b q"], options: AutoencoderTraining
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Clamped distance term and sign term, before weighting."""
    c = options.clamp
    distance = (predicted.clamp(-c, c) - sdf.clamp(-c, c)).abs().mean() / c
    sign = nn.functional.binary_cross_entropy_with_logits(
        predicted * options.sharpness, (sdf > 0).to(predicted.dtype)
    )
    return distance, sign


def mirror_batch(
    points: Float[Tensor, "b n 3"], flip: Float[Tensor, " b"]
) -> Float[Tensor, "b n 3"]:
    """Multiply the x coordinate of shape i by flip[i] = +-1."""
    scale = torch.ones(len(points), 1, 3)
    scale[:, 0, 0] = flip
    return points * scale.to(points)


def train_autoencoder(
    model: FieldAutoencoder,
    data: ShapeDataset,
    optimiser: Optimiser,
    options: AutoencoderTraining,
    *,
    symmetry: Symmetry,
    seed: int = 0,
    start: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Progress]:
    """Yield after every step from `start` on; weights and moments are then those of the step.

    Raises:
        FloatingPointError: if the loss is not finite; nothing of that step is applied.
    """
    model.train()
    for step in range(start, options.steps):
        generator = step_generator(seed, STAGE, step)
        indices = torch.randint(len(data), (options.batch,), generator=generator)
        batch = data.batch(
            indices.numpy(),
            num_surface=options.num_surface,
            num_queries=options.num_queries,
            generator=generator,
        )
        flip = torch.ones(options.batch)
        if options.mirror:
            flip = torch.randint(2, (options.batch,), generator=generator) * 2.0 - 1.0
        surface, normals, queries = (
            mirror_batch(x, flip).to(device) for x in (batch.surface, batch.normals, batch.queries)
        )
        frame = upright_frame(symmetry, options.batch)
        frame = frame if frame is None else frame.to(device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.bf16):
            tokens = model.encode(surface, normals, frame)
            noise = torch.randn(tokens.shape, generator=generator).to(device)
            predicted = model.decode(tokens + model.config.noise * noise, queries, frame)
            distance, sign = field_loss(predicted.float(), batch.sdf.to(device), options)
        yield descend(
            distance + options.sign_weight * sign,
            {"distance": distance, "sign": sign},
            model,
            optimiser,
            stage=STAGE,
            step=step,
            steps=options.steps,
            advice="lower the learning rate or look at the data's distances",
        )
