"""Options of `geoflow train` that are those of a flow map, of whatever it is."""

from __future__ import annotations

from geoflow.cli.options import Train

# How an objective is used; not every representation lets these be chosen.
SETTINGS = (
    "derivative",
    "times",
    "diagonal",
    "end",
    "weight_space",
    "weight_power",
    "coupling",
)


def chosen_cell(options: Train) -> tuple[str | None, str | None]:
    """Interpolant and prediction that are asked for, or belong to the special case."""
    from geoflow.objectives import SPECIAL_CASES

    case = SPECIAL_CASES.get(options.objective)
    if case is None:
        return options.interpolant, options.prediction
    return options.interpolant or case.interpolant, options.prediction or case.prediction
