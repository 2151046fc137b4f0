"""Progress bars: of training, with loss and rate, and of work that is counted."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


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
