"""What the command lines of kinds have in common that train one network on data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geoflow_cli.kinds.flow_options import chosen_cell
from geoflow_cli.options import TrainOptions

if TYPE_CHECKING:
    from geoflow.training.run import DataConfig, RunConfig

# Steps of a stage that fits what was trained, of those of training.
_FITTED = 0.2


def model_and_stage(options: TrainOptions, *, interpolant: str) -> tuple[Any, dict[str, Any]]:
    """Configuration of the model, on `interpolant` unless another is due, and of its stages.

    Raises:
        ValueError: for an objective, path or prediction that do not go together.
    """
    from geoflow.models.kinds import KINDS
    from geoflow.objectives import build_objective

    kind = KINDS[options.kind]
    stage, *later = kind.stage_classes()
    objective = options.objective or "cumulative"
    asked = chosen_cell(options)
    steps = {} if options.steps is None else {"steps": options.steps}
    training: Any = stage.options_type
    model_type: Any = kind.model_class().config_type
    model = model_type(interpolant=asked[0] or interpolant, prediction=asked[1] or "x1")
    built: Any = kind.model_class().build(model)
    build_objective(objective).check_cell(built.flow_map)
    stages = {stage.name: training(objective=objective, **steps)}
    # Of flow matching alone nobody asks few steps.
    for fitting in later if objective != "flow-matching" else ():
        num = max(1, int(_FITTED * stages[stage.name].steps))
        stages[fitting.name] = fitting.options_type(steps=num)
    return model, stages


def run_of(options: TrainOptions, data: DataConfig, *, interpolant: str) -> RunConfig:
    """The run; arguments and errors as of `model_and_stage`."""
    from geoflow.training.run import RunConfig

    model, stages = model_and_stage(options, interpolant=interpolant)
    return RunConfig(
        kind=options.kind,
        data=data,
        model=model,
        stages=stages,
        seed=options.seed,
        checkpoint_every=options.checkpoint_every,
    )
