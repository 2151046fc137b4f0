"""Reports as TensorBoard event files: RUN/tensorboard/STAGE, scalars and contact sheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geoflow.training.log import Report


def import_writer() -> Any:
    """The class that writes event files.

    Raises:
        ImportError: without the package tensorboard; the message names the extra.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "--log tensorboard needs the package tensorboard: pip install 'geoflow[tensorboard]'"
        ) from error
    return SummaryWriter


class TensorBoard:
    """Event files of a run folder; a resumed stage replaces what it makes again."""

    def __init__(self, run: Path) -> None:
        self.folder, self.kind = run / "tensorboard", import_writer()
        self.writers: dict[str, Any] = {}

    def write(self, report: Report, sheet: Path | None = None) -> None:
        """Every number of a report, and a picture."""
        stage, step = report["stage"], report["step"]
        if stage not in self.writers:
            folder = str(self.folder / stage)
            self.writers[stage] = self.kind(folder, purge_step=step)
        writer = self.writers[stage]
        for name, value in _scalars(report):
            writer.add_scalar(name, value, step)
        if sheet is not None:
            with Image.open(sheet) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            writer.add_image("sheet", pixels, step, dataformats="HWC")
        writer.flush()

    def close(self) -> None:
        """End all files."""
        for writer in self.writers.values():
            writer.close()


def _scalars(report: Report, prefix: str = "") -> list[tuple[str, float]]:
    """Numbers by name; those of a mapping below its name."""
    found: list[tuple[str, float]] = []
    for name, value in report.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            found.append((f"{prefix}{name}", float(value)))
    return found
