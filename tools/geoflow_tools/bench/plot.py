"""Pictures of benchmark reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

# Markers tell apart what few colours cannot.
_MARKERS = "os^vD<>Pp*"


def plot_ladder(reports: Mapping[str, Any], path: Path) -> None:
    """Distance of samples to data against evaluations, a panel for each kind of data."""
    figure = Figure(figsize=(5 * len(reports), 5.5), layout="constrained")
    axes = figure.subplots(1, len(reports), squeeze=False)[0]
    for axis, (data, report) in zip(axes, reports.items(), strict=True):
        for i, (name, row) in enumerate(report["rungs"].items()):
            found = row["w2"]
            counts = [int(key.split()[0]) for key in found]
            values = [float("nan") if value is None else value for value in found.values()]
            axis.plot(
                counts,
                values,
                label=name,
                marker=_MARKERS[i % len(_MARKERS)],
                color=f"C{i % 10}",
                linestyle="-" if i < 10 else "--",
                markersize=4,
                linewidth=1,
            )
        axis.axhline(report["floor"], color="black", linestyle=":", linewidth=1)
        axis.set(title=data, xscale="log", yscale="log", xlabel="network evaluations")
        axis.set_xticks([1, 2, 4, 8, 50], labels=["1", "2", "4", "8", "50 (ODE)"])
        axis.set_ylim(0.9 * report["floor"], 12 * report["floor"])
    axes[0].set_ylabel("Wasserstein-2 to data (dotted: two draws of the data)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=7)
    figure.savefig(path, dpi=110)
