"""Distances that are judged in two bands: a narrow one is where thin parts and ends are.

    L = E |clamp(f, c) - clamp(d, c)| / c + v E |clamp(f, b) - clamp(d, b)| / b + w BCE(k f, d > 0)

f is the predicted distance, d the true one, c half the width of the wide band and b of the narrow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from geoflow.objectives import Losses
from geoflow.training.stages.field_autoencoder import FieldLoss, field_loss
from geoflow.typing import NonNegative, Positive


@dataclass(frozen=True)
class BandLoss(FieldLoss):
    """How predicted distances are judged in two bands."""

    band: Positive = 0.02
    """Half width of the narrow band in which distances count more."""
    band_weight: NonNegative = 0.5
    """How much more."""
    sign_weight: NonNegative = 0.2
    """Weight of the sign's cross-entropy."""
    sharpness: Positive = 150.0
    """Logits of the sign per unit of distance."""


def band_loss(
    predicted: Float[Tensor, "b q"], sdf: Float[Tensor, "b q"], options: BandLoss
) -> Losses:
    """The loss of each shape, and its three terms before weighting."""
    distance, sign = field_loss(predicted, sdf, options)
    near, _ = field_loss(predicted, sdf, replace(options, clamp=options.band))
    total = distance + options.band_weight * near + options.sign_weight * sign
    return Losses(total, {"distance": distance, "near": near, "sign": sign})
