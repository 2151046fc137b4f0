"""Options of `geoflow train` that are those of a flow map, of whatever it is."""

from __future__ import annotations

from geoflow_cli.options import Train

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


# Path and prediction of shapes and clouds.
CELL = ("linear", "u")


def chosen_objective(options: Train, cell: tuple[str | None, str | None] = (None, None)) -> str:
    """The objective asked for, or that which suits the cell, by default the one asked for."""
    if options.objective is not None:
        return options.objective
    asked = (options.interpolant, options.prediction)
    has = tuple(a or b or c for a, b, c in zip(cell, asked, CELL, strict=True))
    return "shortcut" if has == CELL else "cumulative"


def chosen_cell(options: Train) -> tuple[str | None, str | None]:
    """Interpolant and prediction that are asked for, or belong to the special case asked for."""
    from geoflow.objectives import SPECIAL_CASES

    case = SPECIAL_CASES.get(options.objective or "")
    if case is None:
        return options.interpolant, options.prediction
    return options.interpolant or case.interpolant, options.prediction or case.prediction
