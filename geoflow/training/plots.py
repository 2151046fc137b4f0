"""Plots of a run, drawn from its log alone: training curves, and quality against evaluations.

RUN/plots holds training.png and .svg: a row for each stage, its loss and terms, then what was
validated; and, once samples were validated, quality.png, .svg and .json: the distance of samples
to data by the number of network evaluations, a line for each validation.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from geoflow.atomic import write_bytes, write_text
from geoflow.training.log import NAME, Report, read_log

SUFFIXES = (".png", ".svg")
Stages = dict[str, list[Report]]

_NO_TERMS = ("stage", "step", "seconds", "loss", "quality")
_VALIDATION = "validation_"
_MEASURES = {
    "iou": "volume IoU, validation",
    "chamfer": "Chamfer distance, validation",
}
# At most so many lines of quality have a name of their own.
_NAMED = 6


def draw_plots(run: Path) -> list[Path]:
    """Draw what the log of a run folder has so far; the files written."""
    stages = read_log(run / NAME)
    figures = {"training": training_figure(stages), "quality": quality_figure(stages)}
    folder = run / "plots"
    folder.mkdir(exist_ok=True)
    written = []
    for name, figure in figures.items():
        if figure is None:
            continue
        for suffix in SUFFIXES:
            written.append(folder / f"{name}{suffix}")
            save_figure(figure, written[-1])
    reports = _qualities(stages)
    if reports:
        written.append(folder / "quality.json")
        write_text(written[-1], json.dumps(reports, indent=2) + "\n")
    return written


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure by suffix, whole or not at all; the same figure, the same bytes.

    Raises:
        ValueError: for another suffix than those of SUFFIXES.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"a plot ends in one of {', '.join(SUFFIXES)}, got {path.name!r}")
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "geoflow"}):
        metadata = {"Date": None} if kind == ".svg" else None
        figure.savefig(content, format=kind[1:], dpi=110, metadata=metadata)
    write_bytes(path, content.getvalue())


def training_figure(stages: Stages) -> Figure:
    """Loss and terms, and validated measures, against the steps of each stage."""
    rows = [_panels(reports) for reports in stages.values()]
    width = max(map(len, rows), default=1)
    figure = Figure(figsize=(4.6 * width, 3.2 * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots(max(len(rows), 1), width, squeeze=False)
    for row, (stage, panels) in zip(axes, zip(stages, rows, strict=True), strict=False):
        for axis, (title, curves) in zip(row, panels.items(), strict=False):
            _draw_curves(axis, curves)
            axis.set(title=f"{stage}: {title}", xlabel="step")
            axis.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
            axis.xaxis.set_major_formatter("{x:,.0f}")
        for axis in row[len(panels) :]:
            axis.set_axis_off()
    return figure


def quality_figure(stages: Stages) -> Figure | None:
    """Distance of samples to data against evaluations; None where no samples were validated."""
    reports = _qualities(stages)
    if not reports:
        return None
    width = 2 if any(report["to_ode"] for report in reports) else 1
    figure = Figure(figsize=(5.5 * width, 4.2), layout="constrained")
    axes = figure.subplots(1, width, squeeze=False)[0]
    shades = matplotlib.colormaps["viridis_r"]
    named = _spread(len(reports), _NAMED)
    last = reports[-1]
    for i, report in enumerate(reports):
        style: dict[str, Any] = {
            "color": shades(0.15 + 0.85 * (i + 1) / len(reports)),
            "linewidth": 2 if report is last else 1,
            "alpha": 1 if report is last else 0.7,
        }
        label = f"step {report['step']:,}" if i in named else None
        for axis, found in zip(axes, (report["evaluations"], report["to_ode"]), strict=False):
            counts = list(map(int, found))
            axis.plot(counts, list(found.values()), "o-", markersize=4, label=label, **style)
        axes[0].plot(report["ode_steps"], report["ode"], marker="D", markersize=5, **style)
    _draw_errors(axes[0], last)
    axes[0].set_title(last["measure"], fontsize=9)
    if width > 1:
        axes[1].set_title("mean distance to the ODE's sample of the same noise", fontsize=9)
    for axis in axes:
        counts = list(map(int, last["evaluations"]))
        ends = {count: str(count) for count in counts}
        if axis is axes[0]:
            ends[last["ode_steps"]] = f"{last['ode_steps']} (ODE)"
        axis.set(xscale="log", xlabel="network evaluations")
        axis.set_xticks(list(ends), labels=list(ends.values()))
        axis.xaxis.set_minor_locator(NullLocator())
        _choose_scale(axis)
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    return figure


def _draw_errors(axis: Axes, report: Report) -> None:
    """Standard errors of the last validation; the distance of data to data."""
    floor, errors = report["floor"], report["errors"]
    if floor is not None:
        axis.axhline(floor, color="black", linestyle=":", linewidth=1, label="data")
        error = errors.get("floor", 0.0)
        axis.axhspan(floor - error, floor + error, color="black", alpha=0.08, linewidth=0)
    values = report["evaluations"] | {"ode": report["ode"]}
    for name, value in values.items():
        place = report["ode_steps"] if name == "ode" else int(name)
        axis.errorbar(place, value, errors.get(name, 0.0), fmt="none", color="black", alpha=0.5)


def _qualities(stages: Stages) -> list[Report]:
    """Every report of quality, with its stage and step, in order."""
    return [
        {"stage": stage, "step": report["step"], **report["quality"]}
        for stage, reports in stages.items()
        for report in reports
        if "quality" in report
    ]


def _panels(reports: Sequence[Report]) -> dict[str, dict[str, dict[int, float]]]:
    """Curves of each panel, by their names: values by step."""
    panels: dict[str, dict[str, dict[int, float]]] = {"loss": {}}
    for report in reports:
        values = [("loss", "loss", report["loss"])]
        for name, value in report.items():
            if name.startswith(_VALIDATION):
                found = re.fullmatch(r"(.+?)(?:_(\d+|floor))?", name[len(_VALIDATION) :])
                assert found is not None
                curve = _evaluations(found[2]) if found[2] else found[1]
                values.append((_MEASURES.get(found[1], found[1]), curve, value))
            elif name not in _NO_TERMS:
                values.append(("loss", name, value))
        for count, value in report.get("quality", {}).get("evaluations", {}).items():
            values.append(("distance of samples to data", _evaluations(count), value))
        for panel, curve, value in values:
            panels.setdefault(panel, {}).setdefault(curve, {})[report["step"]] = value
    return panels


def _evaluations(count: str) -> str:
    """The name of a curve; one that is no number keeps its own."""
    return f"{count} evaluation" + "s" * (count != "1") if count.isdigit() else count


def _draw_curves(axis: Axes, curves: dict[str, dict[int, float]]) -> None:
    for name, values in curves.items():
        # Terms are those of single steps; the loss is smoothed, and in front.
        is_term = "loss" in curves and name != "loss"
        style: dict[str, Any] = {"color": "black", "linestyle": ":"} if name == "floor" else {}
        axis.plot(
            *_points(values),
            label=name,
            linewidth=0.8 if is_term else 1.6,
            alpha=0.6 if is_term else 1,
            zorder=2 if is_term else 3,
            marker="o" if len(values) < 25 else None,
            markersize=3,
            **style,
        )
    _choose_scale(axis)
    axis.grid(alpha=0.3, which="both")
    if len(curves) > 1:
        axis.legend(fontsize=8)


def _choose_scale(axis: Axes) -> None:
    """A log axis where all is positive and the largest is more than three times the smallest."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.lines])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 3 * values.min():
        axis.set_yscale("log")


def _points(values: dict[int, float]) -> tuple[list[int], list[float]]:
    return list(values), list(values.values())


def _spread(num: int, most: int) -> set[int]:
    """Up to `most` of the indices below `num`, evenly, the last among them."""
    few = min(num, most)
    return {round((i + 1) * num / few) - 1 for i in range(few)}
