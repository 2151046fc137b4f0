"""What a training reports: log, plots, validation, and TensorBoard if asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from geoflow.training.log import NAME, append_report
from geoflow.training.loop import Progress
from geoflow.training.tensorboard import TensorBoard, import_writer

_EVERY = 100


@dataclass(frozen=True)
class Validation:
    """What is found beside the loss: numbers by name, and a contact sheet."""

    numbers: dict[str, Any] = field(default_factory=dict)
    sheet: Path | None = None


Validate = Callable[[Progress], Validation]


def check_packages(*, tensorboard: bool) -> None:
    """Raise ImportError, before anything slow, without the packages that reports need."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which comes with geoflow: pip install matplotlib"
        ) from error
    if tensorboard:
        import_writer()


class Reports:
    """The reports of a run, as a context: a line of the log every hundred steps and when due.

    Plots are drawn anew after each validation, and at the end of each stage. An interruption
    leaves with the command that goes on.

    Args:
        folder: of the run.
        validate: what is found beside the loss; called every so many steps.
        every: steps between validations, which also come at the end of a stage; 0: none.
        tensorboard: write event files, too.
    """

    def __init__(
        self, folder: Path, validate: Validate, *, every: int, tensorboard: bool = False
    ) -> None:
        self.folder, self.every, self.validate = folder, every, validate
        self._log = folder / NAME
        self._board = TensorBoard(folder) if tensorboard else None
        self._start = time.perf_counter()
        self._has_steps = False

    def __enter__(self) -> Reports:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._board is not None:
            self._board.close()
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(
                f"geoflow train --resume --out {self.folder} goes on from its last checkpoint"
            ) from error
        if error is None and not self._has_steps and self._log.is_file():
            # Of a run that had no step left: what a kill may have prevented.
            self._draw()

    def step(self, progress: Progress) -> None:
        """Report if it is time."""
        self._has_steps = True
        is_due = progress.is_due(self.every)
        if is_due or progress.is_due(_EVERY):
            self._report(progress, self.validate(progress) if is_due else Validation())
        if is_due or progress.is_last:
            self._draw()

    def _report(self, progress: Progress, found: Validation) -> None:
        report = {
            "stage": progress.stage,
            "step": progress.step,
            "loss": progress.smoothed,
            **progress.terms,
            "seconds": round(time.perf_counter() - self._start, 1),
            **found.numbers,
        }
        append_report(self._log, report)
        if self._board is not None:
            self._board.write(report, found.sheet)

    def _draw(self) -> None:
        # Matplotlib takes a second to import.
        from geoflow.training.plots import draw_plots

        draw_plots(self.folder)
