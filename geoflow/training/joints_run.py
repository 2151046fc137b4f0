"""A run that trains a rigger: options, checkpoint, and in the end model/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from geoflow import __version__
from geoflow.flow_map import FlowMap
from geoflow.rigger import Rigger, RiggerConfig
from geoflow.training.ema import Ema
from geoflow.training.joints import STAGE, FigureDataset, JointTraining, train_joints
from geoflow.training.loop import Progress
from geoflow.training.optimisation import Optimiser
from geoflow.training.stages import JOINTS, load_stage, read_options, save_stage, write_options


@dataclass(frozen=True)
class JointRunConfig:
    """Everything that determines a run's result."""

    data: str = "procedural"
    """"procedural", or a folder in RigNet's layout."""
    num_figures: int = 6_000
    """Procedural figures to train on."""
    model: RiggerConfig = field(default_factory=RiggerConfig)
    """Network."""
    training: JointTraining = field(default_factory=JointTraining)
    """Optimisation."""
    seed: int = 0
    """Seed of weights, figures and noise."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""


class JointRun:
    """A run folder: open it, train what is left, read the rigger."""

    def __init__(self, folder: Path, config: JointRunConfig, *, device: str = "cpu") -> None:
        self.folder, self.config, self.device = folder, config, device
        torch.manual_seed(config.seed)
        self.model = Rigger.build(config.model).to(device)
        self.teacher: Ema[FlowMap] = Ema(self.model.flow_map, config.training.ema)

    @staticmethod
    def create(folder: Path, config: JointRunConfig, *, device: str = "cpu") -> JointRun:
        """Start a run in an empty or new folder.

        Raises:
            FileExistsError: if the folder holds a run already.
        """
        write_options(folder, JOINTS, config)
        return JointRun(folder, config, device=device)

    @staticmethod
    def open(folder: Path, *, device: str = "cpu") -> JointRun:
        """Continue a run with the options that it was started with.

        Raises:
            CheckpointError: if the folder holds no such run, or a damaged one.
        """
        config = read_options(folder, JOINTS, JointRunConfig)
        return JointRun(folder, config, device=device)

    def train(self, data: FigureDataset) -> Iterator[Progress]:
        """Train what is left on figures, then write model/."""
        options, model = self.config.training, self.model
        path = self.folder / f"{STAGE}.safetensors"
        optimiser = Optimiser(model.flow_map, options.schedule)
        start = load_stage(path, model.flow_map, optimiser, self.teacher)
        for progress in train_joints(
            model,
            self.teacher,
            data,
            optimiser,
            options,
            seed=self.config.seed,
            start=start,
            device=self.device,
        ):
            is_last = progress.step == progress.steps
            if is_last or progress.step % self.config.checkpoint_every == 0:
                save_stage(path, model.flow_map, optimiser, progress.step, self.teacher)
            yield progress
        self.averaged(len(data)).save_pretrained(self.folder / "model")

    def averaged(self, num_figures: int) -> Rigger:
        """The rigger of the averaged weights, with a card."""
        # A model travels; the place of its data on one machine does not.
        config = replace(self.config, data=Path(self.config.data).name)
        card = {"geoflow": __version__, "figures": num_figures, "run": asdict(config)}
        return replace(self.model, flow_map=self.teacher.module, card=card)
