"""`geoflow evaluate`."""

from __future__ import annotations

import json
from dataclasses import fields

from geoflow.atomic import write_text
from geoflow.cli.checks import (
    check_at_least,
    check_folder,
    check_resolution,
    refuse_options,
    resolve_device,
)
from geoflow.cli.errors import Failure, UsageError, failing
from geoflow.cli.options import Evaluate
from geoflow.cli.progress import work_bar

# Options of a model, which files do not have.
_OF_MODELS = ("steps", "resolution", "category")


def evaluate(options: Evaluate) -> None:
    """Check, measure or go on measuring, print one line per metric, and write the report."""
    if options.samples is not None and options.model is None:
        refuse_options(options, _OF_MODELS, because="--samples")
    check_at_least("steps", options.steps, 1)
    check_resolution(options.resolution)
    check_folder("out", options.out)
    if options.out.suffix.lower() != ".json":
        raise UsageError(f"--out must end in .json, got {options.out.name!r}")
    from geoflow_tools.evaluation.evaluation import Evaluation, Settings
    from geoflow_tools.evaluation.report import summary

    with failing():
        named = {field.name: getattr(options, field.name) for field in fields(Settings)}
        if options.samples is not None:
            named["samples"] = str(options.samples.resolve())
        settings = Settings(**named)
        folder = options.out.with_name(f"{options.out.name}.parts")
        try:
            evaluation = Evaluation(
                settings,
                folder,
                device=resolve_device(options.device),
                show_progress=options.progress,
            )
        except ImportError as error:
            raise Failure(str(error)) from error
        with work_bar(show=options.progress) as bar:
            tasks = {}
            for progress in evaluation.run():
                if progress.stage not in tasks:
                    tasks[progress.stage] = bar.add_task(progress.stage, total=progress.total)
                bar.update(tasks[progress.stage], completed=progress.done)
        report = evaluation.report()
        write_text(options.out, json.dumps(report, indent=2) + "\n")
        print("\n".join(summary(report)))
        print(f"{options.out}: report written")
