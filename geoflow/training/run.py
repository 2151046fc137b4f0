"""A whole training run: autoencoder, latents, flow map; checkpoints that resume exactly.

A run is a folder: run.json (the resolved options), one checkpoint per stage (weights, moments,
step), latents.safetensors, log.jsonl (every report), and in the end model/, which a Generator
loads. All randomness is a function of the seed and the step, so that a run that was killed and
resumed ends with the bits of one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from geoflow import __version__
from geoflow.flow_map import FlowMap
from geoflow.models.checkpoint import load_checkpoint, save_checkpoint
from geoflow.models.clouds import PointAutoencoder, PointGenerator
from geoflow.models.config import ModelConfig
from geoflow.models.fields import Generator
from geoflow.models.kinds import GENERATORS, load_generator
from geoflow.symmetry import upright_frame
from geoflow.training import autoencoder, flow
from geoflow.training.ema import Ema
from geoflow.training.folder import SHAPES, load_stage, read_options, save_stage, write_options
from geoflow.training.loop import Progress
from geoflow.training.optimisation import Optimiser
from geoflow.training.stages.field_autoencoder import AutoencoderTraining, train_autoencoder
from geoflow.training.stages.latent_flow import FlowTraining, Latents, encode_shapes, train_flow
from geoflow.training.stages.point_autoencoder import PointTraining, train_point_autoencoder
from geoflow.typing import ShapeDataset


@dataclass(frozen=True)
class DataConfig:
    """Where the shapes come from."""

    source: str = "procedural"
    """The word procedural, or a folder of meshes."""
    category: str = "chair"
    """Category to keep, several joined by commas, or all."""
    up: str = "y"
    """Axis that points up in a folder's files."""
    num_shapes: int = 12_000
    """Procedural training shapes."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run's result."""

    data: DataConfig = field(default_factory=DataConfig)
    """Shapes."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Networks."""
    autoencoder: AutoencoderTraining = field(default_factory=AutoencoderTraining)
    """First stage of a model of fields."""
    points: PointTraining = field(default_factory=PointTraining)
    """First stage of a model of points."""
    flow: FlowTraining = field(default_factory=FlowTraining)
    """Second stage."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    init_from: str | None = None
    """Model whose weights both stages start from."""
    teacher: str | None = None
    """Model whose flow is distilled: the student starts from it and keeps its autoencoder."""
    checkpoint_every: int = 500
    """Steps between checkpoints; each stage also saves at its end."""


def frozen_flow(model: str, device: str) -> FlowMap:
    """The flow map of a model, frozen: as jumps, or as steps if it knows the diagonal alone."""
    teacher = load_generator(model, device=device)
    flow_map = teacher.flow_map.requires_grad_(False).eval()
    run: dict[str, Any] = teacher.card.get("run", {})
    is_diagonal = run.get("flow", {}).get("objective") == "flow-matching"
    return flow_map.diagonal() if is_diagonal else flow_map


class Run:
    """A run folder: open it, train what is left, read the generator."""

    def __init__(self, folder: Path, config: RunConfig, *, device: str = "cpu") -> None:
        self.folder, self.config, self.device = folder, config, device
        torch.manual_seed(config.seed)
        start = config.init_from or config.teacher
        kind = GENERATORS[config.model.representation]
        self.generator = kind.build(config.model) if start is None else kind.from_pretrained(start)
        self.generator.to(device)
        self.frozen = None if config.teacher is None else frozen_flow(config.teacher, device)
        self.teacher: Ema[FlowMap] = Ema(self.generator.flow_map, config.flow.ema)

    @staticmethod
    def create(folder: Path, config: RunConfig, *, device: str = "cpu") -> Run:
        """Start a run in an empty or new folder.

        Raises:
            FileExistsError: if the folder holds a run already.
        """
        write_options(folder, SHAPES, config)
        return Run(folder, config, device=device)

    @staticmethod
    def open(folder: Path, *, device: str = "cpu") -> Run:
        """Continue a run with the options that it was started with.

        Raises:
            CheckpointError: if the folder holds no run, or a damaged one.
        """
        config = read_options(folder, SHAPES, RunConfig)
        return Run(folder, config, device=device)

    def train(self, data: ShapeDataset, card: dict[str, Any]) -> Iterator[Progress]:
        """Train what is left of both stages, then write model/; `card` describes the data."""
        yield from self._train_autoencoder(data)
        latents = self._latents(data)
        yield from self._train_flow(latents)
        self._write_model(card)

    def _train_autoencoder(self, data: ShapeDataset) -> Iterator[Progress]:
        generator, config = self.generator, self.config
        path = self.folder / f"{autoencoder.STAGE}.safetensors"
        teacher: Ema[PointAutoencoder] | None = None
        stage: Callable[..., Iterator[Progress]]
        if isinstance(generator, PointGenerator):
            optimiser = Optimiser(generator.autoencoder, config.points.schedule)
            teacher = Ema(generator.autoencoder, config.points.ema)
            stage = partial(
                train_point_autoencoder,
                generator.autoencoder,
                teacher,
                data,
                optimiser,
                config.points,
            )
        else:
            optimiser = Optimiser(generator.autoencoder, config.autoencoder.schedule)
            stage = partial(
                train_autoencoder, generator.autoencoder, data, optimiser, config.autoencoder
            )
        start = load_stage(path, generator.autoencoder, optimiser, teacher)
        for progress in stage(
            symmetry=config.model.symmetry, seed=config.seed, start=start, device=self.device
        ):
            if self._is_due(progress):
                save_stage(path, generator.autoencoder, optimiser, progress.step, teacher)
            yield progress

    def _latents(self, data: ShapeDataset) -> Latents:
        """Scaled latents of all shapes, encoded once per run."""
        path, generator = self.folder / "latents.safetensors", self.generator
        symmetry, scale = self.config.model.symmetry, generator.scale
        if path.is_file():
            tensors, _ = load_checkpoint(path)
            encoded = Latents(tensors["tokens"], tensors["category"])
        else:
            encoded = encode_shapes(
                generator.autoencoder,
                data,
                self.config.flow,
                symmetry=symmetry,
                seed=self.config.seed,
                device=self.device,
            )
            stored = {"tokens": encoded.tokens, "category": encoded.category}
            save_checkpoint(path, stored, {})
        scale.to("cpu")
        frame = upright_frame(symmetry, len(encoded.tokens))
        if self.config.init_from is None and self.config.teacher is None:
            scale.fit(encoded.tokens, frame)
        scaled = Latents(scale.normalise(encoded.tokens, frame), encoded.category)
        scale.to(self.device)
        return scaled

    def _train_flow(self, latents: Latents) -> Iterator[Progress]:
        options, flow_map = self.config.flow, self.generator.flow_map
        path = self.folder / f"{flow.STAGE}.safetensors"
        optimiser = Optimiser(flow_map, options.schedule)
        start = load_stage(path, flow_map, optimiser, self.teacher)
        for progress in train_flow(
            flow_map,
            self.teacher,
            latents,
            optimiser,
            options,
            symmetry=self.config.model.symmetry,
            seed=self.config.seed,
            start=start,
            device=self.device,
            frozen=self.frozen,
        ):
            if self._is_due(progress):
                save_stage(path, flow_map, optimiser, progress.step, self.teacher)
            yield progress

    def averaged(self) -> Generator | PointGenerator:
        """The generator with the moving average of the flow map's weights."""
        return replace(self.generator, flow_map=self.teacher.module)

    def _write_model(self, card: dict[str, Any]) -> None:
        generator = self.averaged()
        # A model travels; the place of its meshes on one machine does not.
        source = replace(self.config.data, source=Path(self.config.data.source).name)
        config = replace(self.config, data=source)
        generator.card = {"geoflow": __version__, "data": card, "run": asdict(config)}
        generator.to(self.device)
        generator.save_pretrained(self.folder / "model")

    def _is_due(self, progress: Progress) -> bool:
        return progress.step == progress.steps or progress.step % self.config.checkpoint_every == 0
