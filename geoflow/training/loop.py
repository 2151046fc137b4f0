"""What every training stage does with a loss, and yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser


@dataclass(frozen=True)
class Progress:
    """State of a stage after one step."""

    stage: str
    step: int
    steps: int
    loss: float
    terms: dict[str, float]


def descend(
    loss: Float[Tensor, "..."],
    terms: Mapping[str, Float[Tensor, "..."]],
    module: nn.Module,
    optimiser: Optimiser,
    teacher: Ema[Any] | None = None,
    *,
    stage: str,
    step: int,
    steps: int,
    advice: str = "lower the learning rate",
) -> Progress:
    """Take one step down the mean loss, and let the moving average of the weights follow.

    Args:
        loss: loss of each example, or its mean.
        terms: its parts, before weighting, to report.
        module: what the optimiser moves, and the teacher follows.
        optimiser: takes the step and clears the gradients.
        teacher: moving average of the module.
        stage: name of the stage.
        step: number of the step, from 0.
        steps: steps of the stage.
        advice: what to do about a loss that is not finite.

    Raises:
        FloatingPointError: if the loss is not finite; nothing is applied.
    """
    mean = loss.float().mean()
    if not torch.isfinite(mean):
        raise FloatingPointError(f"{stage} loss is {mean.item()} at step {step}: {advice}")
    mean.backward()
    optimiser.step(step, steps)
    if teacher is not None:
        teacher.update(module, step)
    means = {name: value.float().mean().item() for name, value in terms.items()}
    return Progress(stage, step + 1, steps, mean.item(), means)
