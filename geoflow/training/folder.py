"""Run folders: what a run is, and checkpoints of its stages, enough to go on to the bit.

A run is a folder: run.json (all that determines its result), one checkpoint per stage (weights,
moments, moving average, step), log.jsonl (every report), and in the end model/.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from geoflow import __version__
from geoflow.atomic import reading, write_text
from geoflow.models.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    previous,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser

RUN = "run.json"
# What earlier versions called the options of a run.
_BEFORE = ("distribution.json", "joints.json")


def check_free(folder: Path) -> None:
    """Raise FileExistsError if the folder holds a run already."""
    if any((folder / name).exists() for name in (RUN, *_BEFORE)):
        raise FileExistsError(
            f"{folder} holds a run already: add --resume to continue it, or choose another --out"
        )


def write_run(folder: Path, content: dict[str, Any]) -> None:
    """Start a run in an empty or new folder.

    Raises:
        FileExistsError: if the folder holds a run already.
    """
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / RUN, json.dumps({"geoflow": __version__, **content}, indent=2) + "\n")


def read_run(folder: Path) -> dict[str, Any]:
    """What `write_run` wrote, without the version.

    Raises:
        CheckpointError: if the folder holds no run, a damaged one, or that of a version whose
            checkpoints cannot be gone on with.
    """
    path = folder / RUN
    if not path.is_file():
        if any((folder / name).is_file() for name in _BEFORE):
            raise CheckpointError(_old(folder, "0.1"))
        raise CheckpointError(f"{folder} holds no run to resume ({RUN} is missing)")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or "kind" not in content:
        raise CheckpointError(_old(folder, "0.1"))
    content.pop("geoflow", None)
    return content


def _old(folder: Path, version: str) -> str:
    return (
        f"{folder} holds a run of geoflow {version}, which this version cannot resume: finish it "
        "with that one, or start afresh; its model/ can be sampled, and started from by --init-from"
    )


def save_stage(
    path: Path,
    network: torch.nn.Module,
    optimiser: Optimiser,
    step: int,
    average: Ema[Any] | None = None,
) -> None:
    """Write the weights, the moments and the step of a stage as one file, atomically.

    The checkpoint before stays beside it, for a disk that loses the newest.
    """
    tensors = with_prefix("weights", network.state_dict())
    tensors |= with_prefix("optimiser", optimiser.state_tensors())
    if average is not None:
        tensors |= with_prefix("average", average.module.state_dict())
    card = {"step": step, "geoflow": __version__}
    save_checkpoint(path, tensors, card, keep_previous=True)


def load_stage(
    path: Path,
    network: torch.nn.Module,
    optimiser: Optimiser,
    average: Ema[Any] | None = None,
) -> int:
    """Load a stage's checkpoint where there is one; the step that it stands at, else 0.

    Raises:
        CheckpointError: if it is damaged.
    """
    if not path.is_file():
        return 0
    try:
        tensors, card = load_checkpoint(path)
    except CheckpointError as error:
        if not previous(path).is_file():
            raise
        raise CheckpointError(
            f"{error}; the checkpoint before is {previous(path)}: rename it to {path.name} to go on"
        ) from error
    load_weights(network, without_prefix("weights", tensors), source=str(path))
    with reading(path, CheckpointError):
        optimiser.load_state_tensors(without_prefix("optimiser", tensors))
        step = card["step"]
        if not isinstance(step, int) or step < 0:
            raise ValueError(f"its step is {step!r}")
    if average is not None:
        load_weights(average.module, without_prefix("average", tensors), source=str(path))
    return step
