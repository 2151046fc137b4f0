"""Second stage: the flow map over latent tokens, on latents encoded once.

The first share of the run is flow matching alone: the averaging law of the cumulative objective
compares two halves of the map, and learns nothing from a map that is still noise. The teacher
of the stopped targets is the moving average of the weights, which is also what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.backbones import FieldAutoencoder
from geoflow.condition import Condition
from geoflow.couplings import COUPLINGS, Coupling
from geoflow.flow_map import FlowMap
from geoflow.models.clouds import PointAutoencoder
from geoflow.objectives import Cumulative, FlowMatching, Objective, build_objective
from geoflow.seeds import step_generator
from geoflow.symmetry import Symmetry, upright_frame
from geoflow.times import TIME_PAIRS
from geoflow.training.ema import Ema
from geoflow.training.loop import Progress, descend
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.stages.field_autoencoder import mirror_batch
from geoflow.typing import ShapeDataset

STAGE = "flow"


@dataclass(frozen=True)
class FlowTraining:
    """Options of the second stage."""

    steps: int = 12_000
    """Optimiser steps."""
    batch: int = 128
    """Latents of a step."""
    objective: str = "shortcut"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    derivative: str | None = None
    """How the cumulative identity is used: average, jvp or difference; None: as the objective."""
    times: str | None = None
    """Key of TIME_PAIRS; None: as the objective. Likewise for what follows."""
    diagonal: float | None = None
    """Share of pairs of times with r = t."""
    end: float | None = None
    """Share of the other pairs with r = 1."""
    weight_space: str | None = None
    """Where errors count: field, velocity or edm."""
    weight_power: float | None = None
    """Divide by (squared error + floor)^power."""
    coupling: str = "independent"
    """Key of COUPLINGS."""
    diagonal_first: float = 0.3
    """Share of the run, at its start, that is flow matching alone."""
    ema: float = 0.995
    """Decay of the moving average of the weights."""
    num_surface: int = 1024
    """Surface points that the encoder reads for each latent."""
    mirror: bool = True
    """Encode every shape and its mirror image."""
    bf16: bool = True
    """Run the network under bfloat16 autocast (derivatives are float32 in any case)."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=2e-3))
    """Learning rate."""

    @staticmethod
    def fine_tuning() -> FlowTraining:
        """A tenth of the steps at a third of the rate; a trained map needs no diagonal first."""
        return FlowTraining(steps=1_200, diagonal_first=0.0, schedule=Schedule(learning_rate=7e-4))

    def build_objective(self) -> Objective:
        """The objective, with the settings that are given.

        Raises:
            ValueError: for an unknown name, or a setting that the objective does not have.
        """
        objective: Any = build_objective(self.objective)
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
            times = TIME_PAIRS[self.times](diagonal=times.diagonal, end=times.end)  # type: ignore[call-arg]
        shares = {"diagonal": self.diagonal, "end": self.end}
        times = replace(
            times, **{name: share for name, share in shares.items() if share is not None}
        )
        weights = {"space": self.weight_space, "power": self.weight_power}
        chosen = {name: value for name, value in weights.items() if value is not None}
        return replace(objective, times=times, weight=replace(objective.weight, **chosen))

    def build_coupling(self) -> Coupling:
        """The coupling named by `coupling`.

        Raises:
            ValueError: for an unknown name.
        """
        if self.coupling not in COUPLINGS:
            raise ValueError(
                f"coupling must be one of {', '.join(COUPLINGS)}, got {self.coupling!r}"
            )
        return COUPLINGS[self.coupling]()


@dataclass(frozen=True)
class Latents:
    """Encoded shapes: packed tokens of the autoencoder and category indices."""

    tokens: Float[Tensor, "n k c"]
    category: Int[Tensor, " n"]


@torch.no_grad()
def encode_shapes(
    model: FieldAutoencoder | PointAutoencoder,
    data: ShapeDataset,
    options: FlowTraining,
    *,
    symmetry: Symmetry,
    seed: int = 0,
    device: torch.device | str = "cpu",
    chunk: int = 32,
) -> Latents:
    """Encode every shape once, and once mirrored, from random surface points.

    Raises:
        ValueError: for fewer than one shape.
    """
    if len(data) < 1:
        raise ValueError("there are no shapes to encode")
    model.eval()
    tokens, categories = [], []
    generator = step_generator(seed, "latents", 0)
    for flip in (1.0, -1.0) if options.mirror else (1.0,):
        for indices in torch.arange(len(data)).split(chunk):
            batch = data.batch(
                indices.numpy(), num_surface=options.num_surface, num_queries=1, generator=generator
            )
            signs = torch.full((len(indices),), flip)
            surface = mirror_batch(batch.surface, signs).to(device)
            normals = mirror_batch(batch.normals, signs).to(device)
            frame = upright_frame(symmetry, len(indices))
            frame = frame if frame is None else frame.to(device)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.bf16):
                given = normals if model.config.normals else None
                encoded = model.encode(surface, given, frame)
            tokens.append(encoded.float().cpu())
            categories.append(batch.category)
    return Latents(torch.cat(tokens), torch.cat(categories))


def train_flow(
    flow_map: FlowMap,
    teacher: Ema[FlowMap],
    latents: Latents,
    optimiser: Optimiser,
    options: FlowTraining,
    *,
    symmetry: Symmetry,
    seed: int = 0,
    start: int = 0,
    device: torch.device | str = "cpu",
    frozen: FlowMap | None = None,
) -> Iterator[Progress]:
    """Yield after every step from `start` on; `latents` are those of the flow, scaled.

    A `frozen` map is distilled; without one the data are learnt from.

    Raises:
        FloatingPointError: if the loss is not finite; nothing of that step is applied.
    """
    objective, coupling = options.build_objective(), options.build_coupling()
    if frozen is not None:
        objective = objective.distilling(frozen)
    warm_up = FlowMatching()
    flow_map.train()
    for step in range(start, options.steps):
        generator = step_generator(seed, STAGE, step)
        index = torch.randint(len(latents.tokens), (options.batch,), generator=generator)
        x1 = latents.tokens[index].to(device)
        x0 = torch.randn(x1.shape, generator=generator).to(device)
        condition = Condition(upright_frame(symmetry, len(x1)), latents.category[index])
        condition = condition.to(device)
        x0 = coupling(x0, x1, condition)
        current = warm_up if step < options.diagonal_first * options.steps else objective
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=options.bf16):
            losses = current(
                flow_map, x0, x1, condition, generator=generator, teacher=teacher.module
            )
        yield descend(
            losses.total,
            losses.terms,
            flow_map,
            optimiser,
            teacher,
            stage=STAGE,
            step=step,
            steps=options.steps,
            advice="lower the learning rate, or use --derivative average",
        )
