"""What `geoflow train` reports: progress bar, log, plots, validation, and TensorBoard if asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoflow_cli.checks import check_at_least
from geoflow_cli.errors import Failure
from geoflow_cli.options import Train
from geoflow_cli.progress import training_bar

if TYPE_CHECKING:
    from geoflow.training.loop import Progress

_EVERY = 100
# Weight of the past in the loss that is shown.
_SMOOTHING = 0.98


@dataclass(frozen=True)
class Validation:
    """What is found beside the loss: numbers by name, and a contact sheet."""

    numbers: dict[str, Any] = field(default_factory=dict)
    sheet: Path | None = None


Validate = Callable[["Progress"], Validation]


def check_reports(options: Train) -> None:
    """Refuse what cannot be reported, before anything slow.

    Raises:
        UsageError: for wrong numbers of steps.
        Failure: without the packages that plots and event files need.
    """
    check_at_least("checkpoint-every", options.checkpoint_every, 1)
    check_at_least("sheet-every", options.sheet_every, 0)
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise Failure(
            "plots need matplotlib, which comes with geoflow: pip install matplotlib"
        ) from error
    if options.log == "tensorboard":
        from geoflow.training.tensorboard import import_writer

        try:
            import_writer()
        except ImportError as error:
            raise Failure(str(error)) from error


def follow(steps: Iterator[Progress], folder: Path, options: Train, validate: Validate) -> None:
    """Train; a line of the log every hundred steps and at the end of each stage.

    Plots are drawn anew after each validation, and at the end of each stage.
    """
    report = _Reporter(folder, options, validate)
    try:
        with training_bar(show=options.progress) as bar:
            tasks = {}
            for progress in steps:
                smooth = report.step(progress)
                if progress.stage not in tasks:
                    tasks[progress.stage] = bar.add_task(
                        progress.stage, total=progress.steps, completed=progress.step - 1, loss=0.0
                    )
                bar.update(tasks[progress.stage], completed=progress.step, loss=smooth)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"geoflow train --resume --out {folder} goes on from its last checkpoint"
        ) from stop
    report.close()


class _Reporter:
    def __init__(self, folder: Path, options: Train, validate: Validate) -> None:
        from geoflow.training.log import NAME
        from geoflow.training.tensorboard import TensorBoard

        self.folder, self.every, self.validate = folder, options.sheet_every, validate
        self.log = folder / NAME
        self.board = TensorBoard(folder) if options.log == "tensorboard" else None
        self.start = time.perf_counter()
        self.loss: dict[str, float] = {}

    def step(self, progress: Progress) -> float:
        """Report if it is time; the smoothed loss."""
        smooth = self.loss.get(progress.stage, progress.loss)
        smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * progress.loss
        self.loss[progress.stage] = smooth
        is_last = progress.step == progress.steps
        is_due = bool(self.every) and (is_last or progress.step % self.every == 0)
        if is_last or is_due or progress.step % _EVERY == 0:
            self._report(progress, smooth, self.validate(progress) if is_due else Validation())
        if is_last or is_due:
            self._draw()
        return smooth

    def close(self) -> None:
        """End event files; of a run that had no step left, draw what a kill may have prevented."""
        if self.board is not None:
            self.board.close()
        if not self.loss and self.log.is_file():
            self._draw()

    def _report(self, progress: Progress, smooth: float, found: Validation) -> None:
        from geoflow.training.log import append_report

        report = {
            "stage": progress.stage,
            "step": progress.step,
            "loss": smooth,
            **progress.terms,
            "seconds": round(time.perf_counter() - self.start, 1),
            **found.numbers,
        }
        append_report(self.log, report)
        if self.board is not None:
            self.board.write(report, found.sheet)

    def _draw(self) -> None:
        from geoflow.training.plots import draw_plots

        draw_plots(self.folder)
