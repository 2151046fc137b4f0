"""What steps of training cost as their networks are written, and fused by torch.compile.

Processor time, both taking turns on the same batches, in memory that is kept from step to step as
in training; and first of the written ones where it is given back. One thread is fairest
(OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import geoflow
from geoflow.models.fields import FieldConfig, Generator
from geoflow.training.ema import Ema
from geoflow.training.fusing import Fused
from geoflow.training.loop import take_step
from geoflow.training.memory import kept_memory
from geoflow.training.optimisation import Optimiser
from geoflow.training.precision import is_bf16, settled
from geoflow.training.stage import Context, Stage
from geoflow.training.stages.field_autoencoder import AutoencoderTraining, FieldAutoencoderStage
from geoflow.training.stages.latent_flow import FlowTraining, LatentFlowStage
from geoflow_datasets import load

_NUM_SHAPES = 64
# Those of the map have other numbers of pairs of unequal times; after a few, sizes are left open.
_WARM_UP = 5


@dataclass(frozen=True)
class StepsBenchmark:
    """Time steps of both stages of `geoflow train`, as written and fused, and the first ones."""

    category: str = "chair"
    """Procedural category."""
    batch: int | None = None
    """Shapes or latents of a step. Default: as in training."""
    repeats: int = 20
    """Steps of each, in turn; medians are reported."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """Medians of processor time, their ratios, and the wall time of the first steps."""
        data = load("procedural", self.category, split="train", num=_NUM_SHAPES)
        return {
            "geoflow": geoflow.__version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "bf16": is_bf16(None, "cpu"),
            **{
                stage.name: self._compare(stage, options, data)
                for stage, options in (
                    (FieldAutoencoderStage, AutoencoderTraining()),
                    (LatentFlowStage, FlowTraining(diagonal_first=0.0)),
                )
            },
        }

    def _compare(self, stage_class: Any, options: Any, data: Any) -> dict[str, object]:
        chosen = settled(options, "cpu")
        if self.batch is not None:
            chosen = type(chosen)(**{**vars(chosen), "batch": self.batch})
        steps = {
            name: _stepper(stage_class(chosen, Context(self._model(), data)), fused=name == "fused")
            for name in ("written", *(("fused",) if chosen.fuses else ()))
        }
        first, seconds = {}, {name: list[float]() for name in ("given back", *steps)}
        for name, step in steps.items():
            start = time.perf_counter()
            for number in range(_WARM_UP):
                step(number)
            first[name] = time.perf_counter() - start
        numbers = range(_WARM_UP, _WARM_UP + self.repeats)
        seconds["given back"] = [_processor_time(steps["written"], number) for number in numbers]
        with kept_memory("cpu"):
            for number in numbers:
                for name, step in steps.items():
                    seconds[name].append(_processor_time(step, number))
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        torch.compiler.reset()
        return {
            "median_seconds": medians,
            "over written": {name: value / medians["written"] for name, value in medians.items()},
            "first_steps_seconds": first,
        }

    def _model(self) -> Generator:
        torch.manual_seed(0)
        return Generator.build(FieldConfig(categories=(self.category,)))


def _processor_time(step: Callable[[int], object], number: int) -> float:
    start = time.process_time()
    step(number)
    return time.process_time() - start


def _stepper(stage: Stage[Any, Any], *, fused: bool) -> Callable[[int], object]:
    """A function that takes one step of a stage as the loop does."""
    options = stage.options
    optimiser = Optimiser(stage.module, options.schedule, bf16=options.muon_bf16)
    stage.average = Ema(stage.module, options.ema) if stage.keeps_average else None
    stage.prepare()
    stage.module.train()
    networks = Fused(stage.fusible() if fused else [])
    return lambda number: take_step(stage, number, optimiser, networks)
