"""Reports of the ladder as tables in Markdown: a row of every objective, the nearest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Whose floor is 0, the best first; a report has one of them at least.
_DISTANCES = ("rms", "energy")
_ORDERED_BY = "2"
_HALVES = ("one_nna_samples", "one_nna_references")
_HALVES_AT = ("1", "2")
_NONE = "none"


def ladder_tables(reports: Mapping[str, Any]) -> str:
    """A table for each kind of data; rows are ordered by the distance in two evaluations.

    The distance is that to the exact map where it is known, else the energy distance; 1-NNA is
    given by its halves, over samples and over references. Rows without a finite distance are last.

    Args:
        reports: of the data by name, as the report of `bench objectives` has them.
    """
    return "\n".join(_table(name, report) for name, report in reports.items())


def _table(data: str, report: Mapping[str, Any]) -> str:
    rungs = report["rungs"]
    first = next(iter(rungs.values()))
    measure = next(name for name in _DISTANCES if name in first)
    evaluations = [_heading(name) for name in first[measure]]
    halves = [f"1-NNA in {name}" for name in _HALVES_AT]
    columns = ["objective, path, prediction", "steps", *evaluations, *halves, "W2 in 2"]

    def distance(item: tuple[str, Mapping[str, Any]]) -> float:
        value = item[1][measure][_ORDERED_BY]
        return float("inf") if value is None else float(value)

    floor = f"W2 of two draws: {report['floor']:.3f}"
    rows = [_row(name, rung, measure) for name, rung in sorted(rungs.items(), key=distance)]
    lines = [f"| {' | '.join(line)} |" for line in [columns, *rows]]
    lines.insert(1, "|---" * len(columns) + "|")
    return "\n".join([f"{data}, {measure} by evaluations; {floor}", "", *lines, ""])


def _row(name: str, rung: Mapping[str, Any], measure: str) -> list[str]:
    steps = rung["training_steps"]
    halves = [
        " / ".join(_cell(rung, half, key, digits=0, scale=100) for half in _HALVES) + " %"
        for key in _HALVES_AT
    ]
    distances = [_cell(rung, measure, key, digits=3) for key in rung[measure]]
    w2 = _cell(rung, "w2", _ORDERED_BY, digits=3)
    return [name, f"{sum(steps) / len(steps):,.0f}", *distances, *halves, w2]


def _cell(
    rung: Mapping[str, Any], measure: str, key: str, *, digits: int, scale: float = 1.0
) -> str:
    value = rung[measure][key]
    if value is None:
        return _NONE
    text = f"{scale * value:.{digits}f}"
    deviation = rung.get(f"{measure}_deviation", {}).get(key)
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f}"


def _heading(name: str) -> str:
    count, *rest = name.split()
    return f"{count} ({' '.join(rest).upper()})" if rest else count
