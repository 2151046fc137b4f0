"""Progress bars: of training, with loss and rate, and of work that is counted."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _RateColumn(ProgressColumn):
    """Units per second, blank before the first two are known."""

    def render(self, task: Task) -> Text:
        """The rate of a task."""
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text("" if speed is None or not unit else f"{speed:.2f} {unit}/s")


def training_bar(*, show: bool) -> Progress:
    """A bar whose tasks have the fields `said` and `unit`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[said]}"),
        _RateColumn(),
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
