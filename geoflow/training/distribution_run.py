"""A run that trains a geometry distribution: options, checkpoint, and in the end model/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from geoflow import __version__
from geoflow.distribution import DistributionConfig, GeometryDistribution
from geoflow.flow_map import FlowMap
from geoflow.seeds import step_generator
from geoflow.training.distribution import STAGE, DistributionTraining, Draw, train_distribution
from geoflow.training.ema import Ema
from geoflow.training.loop import Progress
from geoflow.training.optimisation import Optimiser
from geoflow.training.stages import POINTS, load_stage, read_options, save_stage, write_options

_NUM_FIT = 65_536


@dataclass(frozen=True)
class DistributionRunConfig:
    """Everything that determines a run's result."""

    data: str
    """Mesh file."""
    up: str = "y"
    """Axis that points up in the file."""
    model: DistributionConfig = field(default_factory=DistributionConfig)
    """Network."""
    training: DistributionTraining = field(default_factory=DistributionTraining)
    """Optimisation."""
    seed: int = 0
    """Seed of weights, points and noise."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""


class DistributionRun:
    """A run folder: open it, train what is left, read the distribution."""

    def __init__(self, folder: Path, config: DistributionRunConfig, *, device: str = "cpu") -> None:
        self.folder, self.config, self.device = folder, config, device
        torch.manual_seed(config.seed)
        self.model = GeometryDistribution.build(config.model).to(device)
        self.teacher: Ema[FlowMap] = Ema(self.model.flow_map, config.training.ema)

    @staticmethod
    def create(
        folder: Path, config: DistributionRunConfig, *, device: str = "cpu"
    ) -> DistributionRun:
        """Start a run in an empty or new folder.

        Raises:
            FileExistsError: if the folder holds a run already.
        """
        write_options(folder, POINTS, config)
        return DistributionRun(folder, config, device=device)

    @staticmethod
    def open(folder: Path, *, device: str = "cpu") -> DistributionRun:
        """Continue a run with the options that it was started with.

        Raises:
            CheckpointError: if the folder holds no such run, or a damaged one.
        """
        config = read_options(folder, POINTS, DistributionRunConfig)
        return DistributionRun(folder, config, device=device)

    def train(self, draw: Draw) -> Iterator[Progress]:
        """Train what is left on points of the surface, then write model/."""
        options, model = self.config.training, self.model
        path = self.folder / f"{STAGE}.safetensors"
        model.scale.fit(draw(_NUM_FIT, step_generator(self.config.seed, "scale", 0)))
        optimiser = Optimiser(model.flow_map, options.schedule)
        start = load_stage(path, model.flow_map, optimiser, self.teacher)
        for progress in train_distribution(
            model,
            self.teacher,
            draw,
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
        self._write_model()

    def _write_model(self) -> None:
        # A model travels; the place of its mesh on one machine does not.
        config = replace(self.config, data=Path(self.config.data).name)
        card = {"geoflow": __version__, "run": asdict(config)}
        averaged = replace(self.model, flow_map=self.teacher.module, card=card)
        averaged.save_pretrained(self.folder / "model")
