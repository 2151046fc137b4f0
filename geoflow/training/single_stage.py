"""A run of one stage that trains one flow map: options, checkpoint, and in the end model/."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch

from geoflow import __version__
from geoflow.flow_map import FlowMap
from geoflow.models.distribution import GeometryDistribution
from geoflow.models.joints import Rigger
from geoflow.training.ema import Ema
from geoflow.training.folder import load_stage, read_options, save_stage, write_options
from geoflow.training.loop import Progress
from geoflow.training.optimisation import Optimiser

C = TypeVar("C")
D = TypeVar("D")
M = TypeVar("M", GeometryDistribution, Rigger)
R = TypeVar("R", bound="SingleStageRun[Any, Any, Any]")


class SingleStageRun(ABC, Generic[C, M, D]):
    """A run folder: open it, train what is left, read the model.

    C is the type of the options, which determine a run's result and have `data`, `model`,
    `training`, `seed` and `checkpoint_every`; M that of the model; D that of the data.
    """

    stage: ClassVar[str]
    options_file: ClassVar[str]
    options_type: ClassVar[type]
    model_type: ClassVar[Any]
    """GeometryDistribution or Rigger."""
    train_stage: ClassVar[Callable[..., Iterator[Progress]]]
    """Of model, teacher, data, optimiser and options; seed, start and device by name."""

    def __init__(self, folder: Path, config: C, *, device: str = "cpu") -> None:
        self.folder, self.config, self.device = folder, config, device
        self.options: Any = config
        torch.manual_seed(self.options.seed)
        self.model: M = self.model_type.build(self.options.model).to(device)
        self.teacher: Ema[FlowMap] = Ema(self.model.flow_map, self.options.training.ema)

    @classmethod
    def create(cls: type[R], folder: Path, config: Any, *, device: str = "cpu") -> R:
        """Start a run in an empty or new folder.

        Raises:
            FileExistsError: if the folder holds a run already.
        """
        write_options(folder, cls.options_file, config)
        return cls(folder, config, device=device)

    @classmethod
    def open(cls: type[R], folder: Path, *, device: str = "cpu") -> R:
        """Continue a run with the options that it was started with.

        Raises:
            CheckpointError: if the folder holds no such run, or a damaged one.
        """
        config: Any = read_options(folder, cls.options_file, cls.options_type)
        return cls(folder, config, device=device)

    def train(self, data: D) -> Iterator[Progress]:
        """Train what is left, then write model/."""
        options, flow_map = self.options, self.model.flow_map
        path = self.folder / f"{self.stage}.safetensors"
        self._fit(data)
        optimiser = Optimiser(flow_map, options.training.schedule)
        start = load_stage(path, flow_map, optimiser, self.teacher)
        for progress in self.train_stage(
            self.model,
            self.teacher,
            data,
            optimiser,
            options.training,
            seed=options.seed,
            start=start,
            device=self.device,
        ):
            is_last = progress.step == progress.steps
            if is_last or progress.step % options.checkpoint_every == 0:
                save_stage(path, flow_map, optimiser, progress.step, self.teacher)
            yield progress
        # A model travels; the place of its data on one machine does not.
        run = asdict(replace(options, data=Path(options.data).name))
        card = {"geoflow": __version__, **self._about(data), "run": run}
        replace(self.averaged(), card=card).save_pretrained(self.folder / "model")

    def averaged(self) -> M:
        """The model of the averaged weights."""
        return replace(self.model, flow_map=self.teacher.module)

    @abstractmethod
    def _fit(self, data: D) -> None:
        """What the model takes from the data before it is trained."""

    @abstractmethod
    def _about(self, data: D) -> dict[str, Any]:
        """What the model's card says of the data."""
