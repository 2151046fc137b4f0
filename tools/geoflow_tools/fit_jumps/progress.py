"""What a training of samples leaves in its folder: a state to go on from, and the best model."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoflow.atomic import reading
from geoflow.models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from geoflow_tools.fit_jumps.held_out import HeldOut
from geoflow_tools.fit_jumps.map_training import MapTraining


@dataclass
class Progress:
    """The files of one training; without held-out shapes the newest model counts as the best."""

    folder: Path
    name: str
    """Of the model's folder, of the state beside it, and in the model's card."""
    training: MapTraining
    held_out: HeldOut | None
    least: float = math.inf
    """Energy distance of the model that is kept."""

    def go_on(self) -> None:
        """From the state that is there, if one is; the time that it took is over.

        Raises:
            CheckpointError: if it is damaged, or of another map.
            ValueError: if there is no time left.
        """
        path, clock = self._path, self.training.clock
        if not path.is_file():
            return
        tensors, card = load_checkpoint(path)
        with reading(path, CheckpointError):
            step, seconds = int(card["step"]), float(card["seconds"])
            self.least = math.inf if card["least"] is None else float(card["least"])
        if seconds >= clock.seconds:
            raise ValueError(
                f"{path} was trained for {seconds:.0f} s already: ask for more --seconds, or "
                "choose another --out"
            )
        self.training.go_on(tensors, step)
        clock.start = time.monotonic() - seconds

    def keep(self, losses: dict[str, float]) -> dict[str, Any]:
        """Write the state, and the model if it is the best; returns what there is to say."""
        training = self.training
        said: dict[str, Any] = {"step": training.step, "losses": losses}
        energy = -math.inf
        if self.held_out is not None:
            judged = training.judged(self.held_out)
            energy = sum(judged["energies"].values()) / len(judged["energies"])
            said |= {"energy": energy, **judged}
        if training.settles or energy <= self.least:
            kept, num = training.kept(), len(training.data.category)
            kept.card = {**kept.card, self.name: {"steps": training.step, "shapes": num}}
            kept.save_pretrained(self.folder / self.name)
            if self.held_out is not None:
                self.least = min(energy, self.least)
        clock = training.clock
        card = {
            "step": training.step,
            "seconds": time.monotonic() - clock.start,
            "least": self.least if math.isfinite(self.least) else None,
        }
        save_checkpoint(self._path, training.state(), card)
        return said

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.safetensors"
