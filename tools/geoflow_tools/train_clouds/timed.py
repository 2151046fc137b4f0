"""Steps of a stage until a time; the rate rises over some steps and falls to zero at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from geoflow.training.ema import Ema
from geoflow.training.loop import Progress, take_step
from geoflow.training.memory import kept_memory
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.precision import settled
from geoflow.training.stage import Stage
from geoflow_tools.train_shapes.loops import Clock

_MOST_FAILED = 20
_REMEMBERS = 0.98


@dataclass(frozen=True)
class TimedSchedule(Schedule):
    """A schedule that falls by the clock, whatever the number of steps."""

    clock: Clock = field(kw_only=True)

    def at(self, step: int, steps: int) -> float:
        """Learning rate of a step now."""
        rise = min((step + 1) / max(self.warmup, 1), 1.0)
        return self.learning_rate * rise * min(max(1 - self.clock.share, 0.0) / self.decay, 1.0)


class Log:
    """Lines of JSON, each with the seconds since the start."""

    def __init__(self, path: Path) -> None:
        self.path, self.start = path, time.monotonic()

    def __call__(self, **values: Any) -> None:
        """One line, on the screen and in the file."""
        line = json.dumps({"seconds": round(time.monotonic() - self.start, 1), **values})
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class Every:
    """Asked often, it is true once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def __call__(self) -> bool:
        """Whether it is time again."""
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


def train(
    stage: Stage[Any, Any], clock: Clock, log: Log, *, every: float, save: Callable[[], None]
) -> Iterator[Progress]:
    """Train until the time is over; yields each step, and saves and logs now and then.

    A step whose loss is not finite is left out.

    Raises:
        FloatingPointError: if more than twenty are.
    """
    stage.options = settled(stage.options, stage.context.device)
    options = stage.options
    schedule = TimedSchedule(**vars(options.schedule), clock=clock)
    optimiser = Optimiser(stage.module, schedule, bf16=bool(options.muon_bf16))
    stage.average = Ema(stage.module, options.ema)
    stage.module.train()
    stage.prepare()
    is_told, is_saved, failed = Every(every), Every(2 * every), 0
    means: dict[str, float] = {}
    with kept_memory(stage.context.device):
        for step in clock.steps():
            stage.options = replace(options, steps=step + 1)
            try:
                progress = take_step(stage, step, optimiser)
            except FloatingPointError:
                failed += 1
                if failed > _MOST_FAILED:
                    raise
                continue
            for name, value in {"loss": progress.loss, **progress.terms}.items():
                means[name] = _REMEMBERS * means.get(name, value) + (1 - _REMEMBERS) * value
            if is_told():
                rounded = {name: round(value, 6) for name, value in means.items()}
                log(stage=stage.name, step=progress.step, failed=failed, **rounded)
            if is_saved():
                save()
            yield progress
