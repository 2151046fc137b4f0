"""Checkpoints of one stage of training: enough to go on to the bit."""

from __future__ import annotations

from pathlib import Path

import torch

from geoflow import __version__
from geoflow.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from geoflow.flow_map import FlowMap
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser


def save_stage(
    path: Path,
    network: torch.nn.Module,
    optimiser: Optimiser,
    step: int,
    teacher: Ema[FlowMap] | None = None,
) -> None:
    """Write the weights, the moments and the step of a stage as one file, atomically."""
    tensors = with_prefix("weights", network.state_dict())
    tensors |= with_prefix("optimiser", optimiser.state_tensors())
    if teacher is not None:
        tensors |= with_prefix("teacher", teacher.module.state_dict())
    save_checkpoint(path, tensors, {"step": step, "geoflow": __version__})


def load_stage(
    path: Path,
    network: torch.nn.Module,
    optimiser: Optimiser,
    teacher: Ema[FlowMap] | None = None,
) -> int:
    """Load a stage's checkpoint where there is one; the step that it stands at, else 0."""
    if not path.is_file():
        return 0
    tensors, card = load_checkpoint(path)
    load_weights(network, without_prefix("weights", tensors), source=str(path))
    optimiser.load_state_tensors(without_prefix("optimiser", tensors))
    if teacher is not None:
        load_weights(teacher.module, without_prefix("teacher", tensors), source=str(path))
    step = card.get("step")
    if not isinstance(step, int):
        raise CheckpointError(f"{path} does not say at which step it was written")
    return step
