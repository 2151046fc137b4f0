"""Second stage: the flow map over latent tokens, on latents encoded once.

The first share of the run is flow matching alone. The stopped targets are those of the moving
average of the weights, which is also what is kept. A frozen map may be distilled instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.atomic import reading
from geoflow.backbones.layers import ScalarVectorBlock
from geoflow.condition import Condition
from geoflow.couplings import COUPLINGS, Coupling
from geoflow.models.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from geoflow.models.latent import LatentGenerator
from geoflow.objectives import Cumulative, Guide, Losses, Objective, Pool, build_objective
from geoflow.seeds import step_generator
from geoflow.times import TIME_PAIRS
from geoflow.training.optimisation import Schedule
from geoflow.training.precision import autocast
from geoflow.training.stage import Context, Fusible, Watch, unwatched
from geoflow.training.stages.flow import (
    FlowOptions,
    FlowStage,
    check_objective,
    check_targets,
    current_objective,
)
from geoflow.training.stages.shapes import frame_on, mirrored
from geoflow.typing import Count, ShapeDataset, Share

ENCODING = "encoding shapes"
"""What is said to be made before the first step."""
# Shapes that are encoded at once.
_CHUNK = 32


@dataclass(frozen=True)
class FlowTraining(FlowOptions):
    """Options of the second stage."""

    fuses: ClassVar[bool] = True
    """A transformer of few tokens is hundreds of small operations."""
    steps: int = 12_000
    """Optimiser steps."""
    batch: Count = 96
    """Latents of a step."""
    objective: str = "shortcut"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    derivative: str | None = None
    """How the cumulative identity is used: average, jvp or difference; None: as the objective."""
    times: str | None = None
    """Key of TIME_PAIRS; None: as the objective. Likewise for what follows."""
    diagonal: Share | None = None
    """Share of pairs of times with r = t."""
    end: Share | None = None
    """Share of the other pairs with r = 1."""
    weight_space: str | None = None
    """Where errors count: field, velocity or edm."""
    weight_power: float | None = None
    """Divide by (squared error + floor)^power."""
    coupling: str = "independent"
    """Key of COUPLINGS."""
    num_surface: Count = 1024
    """Surface points that the encoder reads for each latent."""
    mirror: bool = True
    """Encode every shape and its mirror image."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=2e-3))
    """Learning rate."""

    def build_objective(self) -> Objective:
        """The objective, with the settings that are given.

        Raises:
            ValueError: for an unknown name, or a setting that the objective does not have.
        """
        objective = build_objective(self.objective)
        if self.derivative is not None:
            if not isinstance(objective, Cumulative):
                raise ValueError(
                    f"derivative is a setting of cumulative objectives, not of {self.objective}"
                )
            objective = replace(objective, derivative=self.derivative)  # type: ignore[arg-type]
        times = objective.times
        if self.times is not None:
            if self.times not in TIME_PAIRS:
                raise ValueError(
                    f"times must be one of {', '.join(TIME_PAIRS)}, got {self.times!r}"
                )
            # The shares stay those of the objective.
            times = TIME_PAIRS[self.times](diagonal=times.diagonal, end=times.end)
        shares = {"diagonal": self.diagonal, "end": self.end}
        times = replace(
            times, **{name: share for name, share in shares.items() if share is not None}
        )
        if self.end is not None and times.diagonal == 1.0:
            raise ValueError(
                f"end is of pairs of times that differ, and {self.objective} draws none: leave it "
                "out, or give a diagonal below 1"
            )
        weights = {"space": self.weight_space, "power": self.weight_power}
        chosen: dict[str, Any] = {name: v for name, v in weights.items() if v is not None}
        return replace(objective, times=times, weight=replace(objective.weight, **chosen))

    def build_coupling(self) -> Coupling:
        """The coupling named by `coupling`.

        Raises:
            ValueError: for an unknown name, or pooled targets of coupled noise.
        """
        if self.coupling not in COUPLINGS:
            raise ValueError(
                f"coupling must be one of {', '.join(COUPLINGS)}, got {self.coupling!r}"
            )
        check_targets(self.targets, self.coupling)
        return COUPLINGS[self.coupling]()


class Latents(NamedTuple):
    """Encoded shapes: packed tokens, and what the data says of each."""

    tokens: Float[Tensor, "n k c"]
    condition: Condition


@torch.no_grad()
def encode_shapes(
    model: LatentGenerator[Any],
    data: ShapeDataset,
    options: FlowTraining,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    watch: Watch = unwatched,
) -> Latents:
    """Encode every shape once, and once mirrored, from random surface points.

    Raises:
        ValueError: for fewer than one shape.
    """
    if len(data) < 1:
        raise ValueError("there are no shapes to encode")
    model.autoencoder.eval()
    tokens: list[Tensor] = []
    parts: dict[str, list[Tensor]] = {}
    generator = step_generator(seed, "latents", 0)
    flips = (1.0, -1.0) if options.mirror else (1.0,)
    for flip in flips:
        for indices in torch.arange(len(data)).split(_CHUNK):
            batch = data.batch(
                indices.numpy(), num_surface=options.num_surface, num_queries=1, generator=generator
            )
            batch = mirrored(batch, torch.full((len(indices),), flip), device)
            with autocast(options.bf16, device):
                encoded = model.encode_points(batch.surface, batch.normals)
            tokens.append(encoded.float().cpu())
            watch(ENCODING, sum(map(len, tokens)), len(flips) * len(data))
            for name, part in batch.condition.to("cpu").parts().items():
                parts.setdefault(name, []).append(part)
    condition = Condition(**{name: torch.cat(chunks) for name, chunks in parts.items()})
    return Latents(torch.cat(tokens), condition)


def _latents(model: LatentGenerator[Any], tensors: dict[str, Tensor]) -> Latents:
    """Latents of a file; ValueError where they are not those of the model's autoencoder."""
    size, tokens = model.config.autoencoder, tensors["tokens"]
    expected = (len(tokens), size.num_tokens, size.channels)
    if tuple(tokens.shape) != expected or not bool(tokens.isfinite().all()):
        raise ValueError(f"latents have shape {tuple(tokens.shape)}, or are not finite")
    condition = Condition(**without_prefix("condition", tensors))
    lengths = {name: len(part) for name, part in condition.parts().items()}
    if set(lengths.values()) - {len(tokens)}:
        raise ValueError(f"{len(tokens)} latents have conditions {lengths}")
    categories = len(model.categories)
    index = condition.category
    if index is not None and not bool(((index >= 0) & (index < categories)).all()):
        raise ValueError(f"categories are not all among the model's {categories}")
    return Latents(tokens, condition)


class Pairs(NamedTuple):
    """Noise and data of a step, and what they are given."""

    x0: Float[Tensor, "b k c"]
    x1: Float[Tensor, "b k c"]
    cond: Condition


class LatentFlowStage(FlowStage[LatentGenerator[Any], Pairs]):
    """Trains the flow map of a generator of shapes."""

    name = "flow"
    options_type = FlowTraining
    advice = "lower the learning rate, or use --derivative average"

    def __init__(self, options: FlowTraining, context: Context) -> None:
        super().__init__(options, context)
        objective = options.build_objective()
        frozen = context.frozen
        self._objective = objective if frozen is None else objective.distilling(frozen)
        check_objective(self._objective, self.module)
        self._coupling = options.build_coupling()
        self._latents: Latents | None = None
        self._pool: Pool | None = None

    @classmethod
    def fine_tuning(cls) -> FlowTraining:
        """A tenth of the steps at a third of the rate; a trained map needs no diagonal first."""
        return FlowTraining(steps=1_200, diagonal_first=0.0, schedule=Schedule(learning_rate=7e-4))

    def prepare(self) -> None:
        """Scaled latents of all shapes, encoded once per run."""
        context, model = self.context, self.model
        encoded = self._encoded()
        tokens = encoded.tokens.float()
        scale = model.scale.to("cpu")
        frame = frame_on(model.config.symmetry, len(tokens), "cpu")
        if context.is_fresh or not scale.is_fitted:
            scale.fit(tokens, frame)
        scaled = scale.normalise(tokens, frame)
        self._latents = Latents(scaled, replace(encoded.condition, frame=frame))
        if self.options.targets == "pooled":
            self._pool = Pool(scaled.to(context.device), encoded.condition.category)
        scale.to(context.device)

    def _encoded(self) -> Latents:
        """Latents of all shapes, kept in the folder."""
        context = self.context
        path = None if context.folder is None else context.folder / "latents.safetensors"
        if path is not None and path.is_file():
            tensors, _ = load_checkpoint(path)
            with reading(path, CheckpointError):
                return _latents(self.model, tensors)
        encoded = self.encode()
        if path is not None:
            stored = with_prefix("condition", encoded.condition.parts())
            save_checkpoint(path, {"tokens": encoded.tokens, **stored}, {})
        return encoded

    def encode(self) -> Latents:
        """Latents of all shapes."""
        context = self.context
        return encode_shapes(
            self.model, context.data, self.options, seed=context.seed, device=context.device,
            watch=context.watch,
        )  # fmt: skip

    def batch(self, generator: torch.Generator) -> Pairs:
        """Random latents, and noise that the coupling ordered."""
        assert self._latents is not None, "a stage is prepared before its first batch"
        tokens, condition = self._latents
        index = torch.randint(len(tokens), (self.options.batch,), generator=generator)
        x1 = tokens[index].float().to(self.context.device)
        x0 = torch.randn(x1.shape, generator=generator).to(x1.device)
        cond = self.told(condition[index], generator).to(x1.device)
        return Pairs(self._coupling(x0, x1, cond), x1, cond)

    def told(self, cond: Condition, generator: torch.Generator) -> Condition:
        """What the examples of a step are told of what is known of them: all of it."""
        return cond

    def pool(self) -> Pool | Guide | None:
        """What moves the targets of a step: the pool that was asked for."""
        return self._pool

    def fusible(self) -> list[Fusible]:
        """Blocks of the map's network, and of its moving average's, asked for parts of batches."""
        return [
            Fusible(block, varies=network is self.slow)
            for network in (self.module, self.slow)
            for block in network.modules()
            if isinstance(block, ScalarVectorBlock)
        ]

    def loss(self, batch: Pairs, step: int, generator: torch.Generator) -> Losses:
        """Losses of the pairs."""
        objective = current_objective(self._objective, self.options, step)
        pool = self.pool()
        if pool is not None:
            objective = replace(objective, pool=pool)
        return objective(self.module, *batch, generator=generator, average=self.slow)
