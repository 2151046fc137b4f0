"""Plots outside of a run folder: of a log, or of a finished model.

`python -m geoflow_tools.plot --log runs/chair/log.jsonl --out training.png` draws the training
curves of a log; `--model chair --out quality.png` samples a model of procedural shapes in 1, 2, 4
and 8 evaluations and 50 steps of the ODE, draws how far the samples are from held-out shapes, and
writes the numbers beside the plot as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from geoflow.atomic import write_text
from geoflow.models.kinds import load as load_model
from geoflow.training.log import Report, read_log
from geoflow.training.plots import quality_figure, save_figure, training_figure
from geoflow_datasets import PROCEDURAL, load
from geoflow_tools.validation.samples import shape_quality


@dataclass(frozen=True)
class Options:
    """Draw a log, or a model."""

    out: Path
    """Plot to write: .png or .svg."""
    log: Path | None = None
    """log.jsonl of a run."""
    model: str | None = None
    """Shipped model of one procedural category, or a folder of a model or a run."""
    num: int = 16
    """Samples of the model."""


def plot(options: Options) -> None:
    """Write the plot.

    Raises:
        ValueError: unless one of a log and a model is given.
    """
    if (options.log is None) == (options.model is None):
        raise ValueError("give one of --log and --model")
    if options.log is not None:
        save_figure(training_figure(read_log(options.log)), options.out)
        return
    assert options.model is not None
    generator: Any = load_model(options.model)
    (category,) = generator.categories
    held_out, training = (
        load(PROCEDURAL, category, split=split, num=options.num).loaded()
        for split in ("val", "train")
    )
    quality = asdict(shape_quality(generator, held_out, training, num=options.num))
    run = generator.card.get("run", {})
    steps = run.get("stages", run).get("flow", {}).get("steps", 0)
    report: Report = {"step": steps, "quality": quality}
    figure = quality_figure({"flow": [report]})
    assert figure is not None
    save_figure(figure, options.out)
    write_text(options.out.with_suffix(".json"), json.dumps(quality, indent=2) + "\n")


if __name__ == "__main__":
    plot(tyro.cli(Options, description=__doc__))
