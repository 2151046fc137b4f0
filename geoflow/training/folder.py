"""Run folders: their options, and checkpoints of a stage, enough to go on to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch

from geoflow import __version__
from geoflow.atomic import write_text
from geoflow.models.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from geoflow.models.config import from_json, to_json
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser

C = TypeVar("C")

# Files of options, one for each kind of run; a folder holds one run of one kind.
SHAPES, POINTS, JOINTS = "run.json", "distribution.json", "joints.json"


def check_free(folder: Path) -> None:
    """Raise FileExistsError if the folder holds a run of any kind already."""
    if any((folder / name).exists() for name in (SHAPES, POINTS, JOINTS)):
        raise FileExistsError(
            f"{folder} holds a run already: add --resume to continue it, or choose another --out"
        )


def write_options(folder: Path, name: str, config: object) -> None:
    """Start a run in an empty or new folder.

    Raises:
        FileExistsError: if the folder holds a run already.
    """
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / name, json.dumps(to_json(config), indent=2) + "\n")


def read_options(folder: Path, name: str, kind: type[C]) -> C:
    """The options that a run was started with.

    Raises:
        CheckpointError: if the folder holds no run of this kind, or a damaged one.
    """
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no run to resume ({name} is missing)")
    try:
        return from_json(kind, json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def save_stage(
    path: Path,
    network: torch.nn.Module,
    optimiser: Optimiser,
    step: int,
    teacher: Ema[Any] | None = None,
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
    teacher: Ema[Any] | None = None,
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
