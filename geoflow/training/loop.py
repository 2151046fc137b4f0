"""The one loop of training.

All randomness is a function of the seed and the step, so that a run that was killed and resumed
ends with the bits of one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from geoflow.seeds import step_generator
from geoflow.training.ema import Ema
from geoflow.training.folder import load_stage, save_stage
from geoflow.training.fusing import COMPILING, Fused
from geoflow.training.memory import kept_memory
from geoflow.training.optimisation import Optimiser
from geoflow.training.precision import autocast, is_bf16
from geoflow.training.stage import Stage, means

# Weight of the past in the loss that is shown.
_SMOOTHING = 0.98


@dataclass(frozen=True)
class Progress:
    """State of a stage after one step."""

    stage: str
    step: int
    steps: int
    loss: float
    terms: dict[str, float]
    smoothed: float = math.nan
    """Loss, smoothed over the steps of this process."""

    @property
    def is_last(self) -> bool:
        """Whether it was the stage's last step."""
        return self.step == self.steps

    def is_due(self, every: int) -> bool:
        """Whether something that is done every so many steps, and at the end, is due; 0: never."""
        return every > 0 and (self.is_last or self.step % every == 0)


def fit(stage: Stage[Any, Any], *, checkpoint_every: int = 0) -> Iterator[Progress]:
    """Train what is left of a stage; weights and moments are those of the step that is yielded.

    Args:
        stage: what to train; its context says where and from which seed.
        checkpoint_every: steps between checkpoints in the context's folder; one is written at
            the end, too.

    Raises:
        FloatingPointError: if the loss is not finite; nothing of that step is applied.
        CheckpointError: if the stage's checkpoint is damaged.
    """
    context, options, module = stage.context, stage.options, stage.module
    path = None if context.folder is None else context.folder / f"{stage.name}.safetensors"
    bf16 = is_bf16(options.muon_bf16, context.device)
    optimiser = Optimiser(module, options.schedule, bf16=bf16)
    stage.average = Ema(module, options.ema) if stage.keeps_average else None
    start = 0 if path is None else load_stage(path, module, optimiser, stage.average)
    processes = context.processes
    if options.steps > 0:
        processes.in_turn(stage.prepare)
    module.train()
    smoothed: float | None = None
    fused = Fused(stage.fusible() if options.compile else [])
    with kept_memory(context.device):
        for step in range(start, options.steps):
            if fused.parts and step == start:
                context.watch(COMPILING, 0, 1)
            progress = take_step(stage, step, optimiser, fused)
            if fused.parts and step == start:
                context.watch(COMPILING, 1, 1)
            past = progress.loss if smoothed is None else smoothed
            smoothed = _SMOOTHING * past + (1 - _SMOOTHING) * progress.loss
            progress = replace(progress, smoothed=smoothed)
            if path is not None and processes.is_first and progress.is_due(checkpoint_every):
                save_stage(path, module, optimiser, progress.step, stage.average)
            yield progress
    fused.close()
    stage.finish()


def take_step(
    stage: Stage[Any, Any], step: int, optimiser: Optimiser, fused: Fused | None = None
) -> Progress:
    """One step down the mean loss of its parts' batches; the moving average follows.

    Raises:
        FloatingPointError: if the loss is not finite; nothing is applied.
        ValueError: if the processes cannot share the parts evenly.
    """
    context, options, processes = stage.context, stage.options, stage.context.processes
    found: list[tuple[float, dict[str, float]]] = []
    for part in processes.parts(options.parts):
        # The first part's randomness is that of a step of one part.
        purpose = f"{stage.name}/{part}" if part else stage.name
        generator = step_generator(context.seed, purpose, step)
        batch = stage.batch(generator)
        with autocast(options.bf16, context.device), fused or nullcontext():
            losses = stage.loss(batch, step, generator)
        mean = losses.total.float().mean()
        found.append((mean.item(), means(losses.terms)))
        if math.isfinite(found[-1][0]):
            mean.backward()
    loss, terms = _over_all(found, stage)
    if not math.isfinite(loss):
        optimiser.clear()
        raise FloatingPointError(f"{stage.name} loss is {loss} at step {step}: {stage.advice}")
    processes.share_gradients(optimiser.parameters, options.parts)
    optimiser.step(step, options.steps)
    if stage.average is not None:
        stage.average.update(stage.module, step)
    return Progress(stage.name, step + 1, options.steps, loss, terms)


def _over_all(
    found: list[tuple[float, dict[str, float]]], stage: Stage[Any, Any]
) -> tuple[float, dict[str, float]]:
    """Means over the parts of all processes, the same in each."""
    processes, names = stage.context.processes, list(found[0][1])
    rows = [[loss, *(terms[name] for name in names)] for loss, terms in found]
    mine = torch.tensor(rows, dtype=torch.float64).sum(0)
    # Accelerators carry no double precision to each other; the host's numbers go by float32.
    mine = mine if processes.num == 1 else mine.float().to(stage.context.device)
    loss, *terms = (processes.total(mine) / stage.options.parts).tolist()
    return loss, dict(zip(names, terms, strict=True))
