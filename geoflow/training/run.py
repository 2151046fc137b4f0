"""A whole training run: autoencoder, latents, flow map; checkpoints that resume exactly.

A run is a folder: run.json (the resolved options), one checkpoint per stage (weights, moments,
step), log.jsonl (every report), sheets/*.png, and in the end model/, which a Generator loads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from geoflow.backbones import FieldAutoencoder
from geoflow.training.autoencoder import AutoencoderTraining, train_autoencoder
from geoflow.training.autoencoder import STAGE as AUTOENCODER
from geoflow.training.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    with_prefix,
    without_prefix,
    write_text,
)
from geoflow.training.config import ModelConfig, to_json
from geoflow.training.loop import Progress
from geoflow.training.optimisation import Optimiser
from geoflow.typing import ShapeDataset


@dataclass(frozen=True)
class Intervals:
    """How often a run saves, in steps; it also saves at the end of each stage."""

    checkpoint: int = 500
    """Steps between checkpoints."""


@dataclass(frozen=True)
class AutoencoderRun:
    """The first stage of a run: a folder, a model, its data and options."""

    folder: Path
    model: ModelConfig
    options: AutoencoderTraining = field(default_factory=AutoencoderTraining)
    intervals: Intervals = field(default_factory=Intervals)
    seed: int = 0
    device: str = "cpu"

    @property
    def checkpoint(self) -> Path:
        """The stage's checkpoint."""
        return self.folder / f"{AUTOENCODER}.safetensors"

    def train(self, data: ShapeDataset) -> Iterator[Progress]:
        """Train from the last checkpoint, or from the start; checkpoints are written here."""
        network, optimiser, start = self.open()
        for progress in train_autoencoder(
            network,
            data,
            optimiser,
            self.options,
            symmetry=self.model.symmetry,
            seed=self.seed,
            start=start,
            device=self.device,
        ):
            last = progress.step == self.options.steps
            if last or progress.step % self.intervals.checkpoint == 0:
                save_stage(self.checkpoint, network, optimiser, progress.step, self.model)
            yield progress

    def open(self) -> tuple[FieldAutoencoder, Optimiser, int]:
        """The network, its optimiser, and the step they stand at."""
        torch.manual_seed(self.seed)
        network = FieldAutoencoder(self.model.autoencoder).to(self.device)
        optimiser = Optimiser(network, self.options.schedule)
        start = load_stage(self.checkpoint, network, optimiser)
        return network, optimiser, start


def save_stage(
    path: Path,
    network: torch.nn.Module,
    optimiser: Optimiser,
    step: int,
    model: ModelConfig,
) -> None:
    """Write weights, moments and step of a stage as one atomic file."""
    tensors = with_prefix("weights", network.state_dict())
    tensors |= with_prefix("optimiser", optimiser.state_tensors())
    save_checkpoint(path, tensors, {"step": step, "model": to_json(model)})


def load_stage(path: Path, network: torch.nn.Module, optimiser: Optimiser) -> int:
    """Load a stage's checkpoint where there is one; the step it stands at, else 0."""
    if not path.is_file():
        return 0
    tensors, card = load_checkpoint(path)
    load_weights(network, without_prefix("weights", tensors), source=str(path))
    optimiser.load_state_tensors(without_prefix("optimiser", tensors))
    step = card.get("step")
    if not isinstance(step, int):
        raise CheckpointError(f"{path} does not say at which step it was written")
    return step


def log_writer(path: Path) -> Callable[[dict[str, object]], None]:
    """A function that appends one JSON line per report."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(report: dict[str, object]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report) + "\n")

    return write


__all__ = ["AutoencoderRun", "Intervals", "load_stage", "log_writer", "save_stage", "write_text"]
