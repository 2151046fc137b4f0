"""Progress bars: of training, with loss, rate and log file, and of work that is counted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from geoflow.training.loop import Progress as StepProgress

# Weight of the past in the loss that is shown.
SMOOTHING = 0.98


def training_bar(*, show: bool) -> Progress:
    """A bar whose tasks have the field `loss`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.speed:.2f} steps/s"),
        TimeRemainingColumn(),
        disable=not show,
    )


def work_bar(*, show: bool) -> Progress:
    """A bar on the error stream, which leaves the output to the results."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


def follow(steps: Iterator[StepProgress], log: Path, *, show: bool) -> None:
    """Train with a progress bar, and a line of the log every hundred steps."""
    start, smooth = time.perf_counter(), None
    with training_bar(show=show) as bar:
        task = None
        for progress in steps:
            last = progress.loss if smooth is None else smooth
            smooth = SMOOTHING * last + (1 - SMOOTHING) * progress.loss
            if task is None:
                task = bar.add_task(
                    progress.stage, total=progress.steps, completed=progress.step - 1, loss=0.0
                )
            bar.update(task, completed=progress.step, loss=smooth)
            if progress.step % 100 == 0 or progress.step == progress.steps:
                seconds = round(time.perf_counter() - start, 1)
                report = {"step": progress.step, "loss": smooth, **progress.terms}
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(report | {"seconds": seconds}) + "\n")
