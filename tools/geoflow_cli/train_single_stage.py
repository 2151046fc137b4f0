"""What the commands that train one flow map, on points or joints, have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

from geoflow_cli.checks import check_at_least, refuse_options, resolve_device
from geoflow_cli.options import Train
from geoflow_cli.train_flow import SETTINGS, chosen_cell
from geoflow_cli.train_report import Validation, check_reports, follow

if TYPE_CHECKING:
    from geoflow.training.loop import Progress
    from geoflow.training.single_stage import SingleStageRun
    from geoflow_tools.validation.step_quality import StepQuality

D = TypeVar("D")

# Options of shapes and their latents.
_FOREIGN = (
    "shape_category",
    "init_from",
    "teacher",
    "autoencoder_steps",
    "symmetry",
    *SETTINGS,
)


def check_options(options: Train, foreign: Sequence[str]) -> str:
    """Refuse options without a meaning here, `foreign` ones too; the device to train on."""
    because = f"--representation {options.representation}"
    refuse_options(options, (*_FOREIGN, *foreign), because=because)
    if options.steps is not None:
        check_at_least("steps", options.steps, 1)
    check_reports(options)
    return resolve_device(options.device)


def common_config(
    options: Train, model: Callable[..., Any], training: Callable[..., Any], *, interpolant: str
) -> dict[str, Any]:
    """What the options of every single-stage run have; `interpolant` unless another is due.

    Raises:
        ValueError: for an objective, path or prediction that do not go together.
    """
    from geoflow.objectives import build_objective

    objective = options.objective or "cumulative"
    build_objective(objective)
    asked = chosen_cell(options)
    chosen = training(objective=objective)
    return {
        "model": model(interpolant=asked[0] or interpolant, prediction=asked[1] or "x1"),
        "training": chosen if options.steps is None else replace(chosen, steps=options.steps),
        "seed": options.seed,
        "checkpoint_every": options.checkpoint_every,
    }


def train_run(
    run: SingleStageRun[Any, Any, D],
    data: D,
    options: Train,
    measure: Callable[[Any], StepQuality],
) -> None:
    """Train with reports, samples validated by `measure`, and say where the model is."""

    def validate(progress: Progress) -> Validation:
        return Validation({"quality": asdict(measure(run.averaged()))})

    follow(run.train(data), run.folder, options, validate)
    print(f"{run.folder / 'model'}: model written")
