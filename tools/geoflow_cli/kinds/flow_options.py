"""Options of a flow map, of whatever it is: which objective in which cell, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from geoflow_cli.options import TrainOptions

if TYPE_CHECKING:
    from geoflow.models.base import ModelFile
    from geoflow.training.stages.latent_flow import FlowTraining

# Path and prediction of shapes and clouds.
CELL = ("linear", "u")
Cell = tuple[str | None, str | None]


@dataclass(frozen=True)
class FlowSettings:
    """How an objective is used; not every kind lets these be chosen."""

    targets: Literal["pair", "pooled"] | None = None
    """Learn from single pairs of noise and data, or from means over all data that a state may come
    from, which have less noise. Default: pooled for points of a shape, pair for latents."""
    derivative: Literal["average", "jvp", "difference"] | None = None
    """How a cumulative objective uses its identity. Default: average, or as the special case."""
    times: Literal["uniform", "logit-normal"] | None = None
    """Distribution of the pairs of times. Default: as the objective."""
    diagonal: float | None = None
    """Share of pairs of times that are equal. Default: as the objective."""
    end: float | None = None
    """Share of the other pairs that end at the data. Default: as the objective."""
    weight_space: Literal["field", "velocity", "edm"] | None = None
    """Where errors count. Default: as the objective."""
    weight_power: float | None = None
    """Divide each squared error by itself to this power. Default: as the objective."""
    coupling: Literal["independent", "batch"] = "independent"
    """Pair noise and data at random, or by optimal transport over each batch."""

    def settings(self) -> dict[str, str | float | None]:
        """By their names in `FlowTraining`, but for the targets, which other stages have, too."""
        names = FlowSettings.__dataclass_fields__.keys() - {"targets"}
        return {name: getattr(self, name) for name in names}


def chosen_objective(options: TrainOptions, cell: Cell = (None, None)) -> str:
    """The objective asked for, or that which suits the cell, by default the one asked for."""
    if options.objective is not None:
        return options.objective
    asked = (options.interpolant, options.prediction)
    has = tuple(a or b or c for a, b, c in zip(cell, asked, CELL, strict=True))
    return "shortcut" if has == CELL else "cumulative"


def chosen_cell(options: TrainOptions) -> Cell:
    """Interpolant and prediction that are asked for, or belong to the special case asked for."""
    from geoflow.objectives import SPECIAL_CASES

    case = SPECIAL_CASES.get(options.objective or "")
    if case is None:
        return options.interpolant, options.prediction
    return options.interpolant or case.interpolant, options.prediction or case.prediction


def cell_of(file: ModelFile | None) -> Cell:
    """Interpolant and prediction of a model to start from."""
    if file is None:
        return (None, None)
    from geoflow.models.kinds import KINDS

    config = file.config(KINDS[file.kind].model_class().config_type)
    return (config.interpolant, config.prediction)


def check_cell(options: TrainOptions, file: ModelFile, start: str) -> None:
    """Raise ValueError where the options ask for another path or prediction than the model has."""
    asked, has = chosen_cell(options), cell_of(file)
    for name, value, there in zip(("interpolant", "prediction"), asked, has, strict=True):
        if value not in (None, there):
            flag = f"--{name}" if getattr(options, name) else f"--objective {options.objective}"
            raise ValueError(
                f"{flag} asks for the {name} {value}, but {start} has {there}: leave the option "
                "out, or start afresh"
            )


def check_objective(flow: FlowTraining, cell: tuple[str, str], *, distils: bool) -> None:
    """Raise ValueError for settings that do not go together, in the cell of the flow map.

    Also for an objective that can't distil where it has to.
    """
    from torch import nn

    from geoflow.flow_map import FlowMap

    objective = flow.build_objective()
    objective.check_cell(FlowMap(nn.Identity(), *cell))
    flow.build_coupling()
    if distils:
        objective.check_distils()
