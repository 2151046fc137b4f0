"""Steps of a training that take a given time, so that trainings of unequal steps compare."""

from __future__ import annotations

import time
from typing import Any

from geoflow.training.ema import Ema
from geoflow.training.loop import take_step
from geoflow.training.memory import kept_memory
from geoflow.training.optimisation import Optimiser
from geoflow.training.stages.flow import FlowStage

_TIMED = 4


def affordable_steps(stage: FlowStage[Any, Any], seconds: float) -> int:
    """Steps of a stage that take about so many processor seconds, at least one.

    Takes a few steps of the warm-up and a few of the objective, in their shares of the run; the
    stage is spoilt by them, and to be thrown away.

    Raises:
        ValueError: unless the time is positive.
    """
    if not seconds > 0:
        raise ValueError(f"seconds of a training must be positive, got {seconds}")
    options = stage.options
    optimiser = Optimiser(stage.module, options.schedule, bf16=False)
    stage.average = Ema(stage.module, options.ema)
    stage.prepare()
    stage.module.train()
    first = int(options.diagonal_first * options.steps)
    shares = ((0, options.diagonal_first), (first, 1 - options.diagonal_first))
    cost = 0.0
    with kept_memory("cpu"):
        for step, share in shares:
            take_step(stage, step, optimiser)  # The first one pays for memory.
            begun = time.process_time()
            for _ in range(_TIMED):
                take_step(stage, step, optimiser)
            cost += share * (time.process_time() - begun) / _TIMED
    return max(1, round(seconds / cost))
