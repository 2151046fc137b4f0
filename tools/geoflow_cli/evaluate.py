"""`geoflow evaluate`."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoflow.atomic import write_json
from geoflow_cli.budget import foresee_work
from geoflow_cli.checks import (
    check_at_least,
    check_folder,
    check_resolution,
    resolve_device,
)
from geoflow_cli.errors import Failure, UsageError, failing
from geoflow_cli.options import Evaluate
from geoflow_cli.progress import work_bar

if TYPE_CHECKING:
    from geoflow_tools.evaluation.evaluation import Evaluation
    from geoflow_tools.evaluation.pairs import PairedEvaluation

# Options of a model, which files do not have, and of files, which are not made here.
_OF_MODELS = ("steps", "ode", "resolution", "category", "device")
# Distances are between all pairs; points of a set are in memory.
_MOST = {"num": 100_000, "points": 100_000}
_MOST_IN_ALL = 100_000_000
# A rehearsal of exact EMD: pairs, points of each at most, and how it grows (docs/metrics.md).
_REHEARSED_PAIRS, _REHEARSED_POINTS, _EMD_GROWTH = 8, 512, 2.5


def evaluate(options: Evaluate, given: Collection[str]) -> None:
    """Check, measure or go on measuring, print one line per metric, and write the report."""
    if options.samples is not None and options.model is None:
        for name in _OF_MODELS:
            if name in given:
                raise UsageError(f"--{name} does not go with --samples")
    _check_axes(options, given)
    check_at_least("steps", options.steps, 1)
    for name, most in _MOST.items():
        if getattr(options, name) > most:
            raise UsageError(f"--{name} must be at most {most:,}, got {getattr(options, name):,}")
    if options.num * options.points > _MOST_IN_ALL:
        raise UsageError(
            f"--num times --points must be at most {_MOST_IN_ALL:,}: the points of a set are held "
            f"in memory; got {options.num * options.points:,}"
        )
    check_resolution(options.resolution)
    check_folder("out", options.out)
    if options.out.suffix.lower() != ".json":
        raise UsageError(f"--out must end in .json, got {options.out.name!r}")
    if options.paired and (options.model is not None or options.samples is None):
        raise UsageError("--paired compares files with files: give --samples, not --model")
    from geoflow_tools.evaluation.pairs import summary_of_pairs
    from geoflow_tools.evaluation.report import summary

    with failing():
        try:
            evaluation = _open(options, options.out.with_name(f"{options.out.name}.parts"))
        except ImportError as error:
            raise Failure(str(error)) from error
        _foresee_emd(evaluation.emd_left(), options.emd_points)
        with work_bar(show=options.progress) as bar:
            tasks = {}
            for progress in evaluation.run():
                if progress.stage not in tasks:
                    tasks[progress.stage] = bar.add_task(progress.stage, total=progress.total)
                bar.update(tasks[progress.stage], completed=progress.done)
        report = evaluation.report()
        write_json(options.out, report)
        print("\n".join(summary_of_pairs(report) if options.paired else summary(report)))
        print(f"{options.out}: report written")


def _foresee_emd(pairs: float, num_points: int) -> None:
    """Say what exact EMD will take on all cores, where that is long.

    Clouds of a cube stand in for the shapes, which may not be made yet: they cost as much.
    """
    from geoflow.geometry.metrics import earth_movers_distance

    if pairs == 0:
        return
    few = min(num_points, _REHEARSED_POINTS)
    clouds = np.random.default_rng(0).random((_REHEARSED_PAIRS, 2, few, 3))
    foresee_work(
        f"exact EMD of about {round(pairs):,} pairs of {num_points:,} points "
        "(--emd-points 0 leaves it out)",
        parts=pairs * (num_points / few) ** _EMD_GROWTH / _REHEARSED_PAIRS / (os.cpu_count() or 1),
        part=lambda: [earth_movers_distance(a, b) for a, b in clouds],
    )


def _check_axes(options: Evaluate, given: Collection[str]) -> None:
    """Raise UsageError for an axis of files where there are none: made shapes stand."""
    from geoflow_datasets.procedural import CATEGORIES

    is_made = not options.paired and options.reference in CATEGORIES
    if is_made and "reference_up" in given:
        raise UsageError("--reference-up is of files, and the test split is made: leave it out")
    if is_made and options.samples is None and "up" in given:
        raise UsageError("--up is of files, and there are none here: leave it out")


def _open(options: Evaluate, folder: Path) -> Evaluation | PairedEvaluation:
    from geoflow_tools.evaluation.evaluation import Evaluation, Settings
    from geoflow_tools.evaluation.pairs import PairedEvaluation, PairSettings

    samples = None if options.samples is None else str(options.samples.resolve())
    if options.paired:
        named = {field.name: getattr(options, field.name) for field in fields(PairSettings)}
        return PairedEvaluation(PairSettings(**named | {"samples": samples}), folder)
    named = {field.name: getattr(options, field.name) for field in fields(Settings)}
    return Evaluation(
        Settings(**named | {"samples": samples}),
        folder,
        device=resolve_device(options.device),
        show_progress=options.progress,
    )
