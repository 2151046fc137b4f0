"""The ladder: every objective on data from the plane to chairs, same network, same time.

Distances are exact Wasserstein-2 between equally many samples and held-out data; `floor` is that
between two draws of the data. Where the flow of the data is known, `rms` is the distance of samples
to the ends of the exact flow from the same noise, whose floor is 0: it comes first. The energy
distance, whose floor is 0 too, is what to read of latents: in many dimensions W2 prefers samples
that have shrunk, and 1-NNA overlooks those that are too wide.

Step times are medians of calls in turn, on the shipped model's network and batch; memory is the
growth of a process that does nothing else.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.progress import track

from geoflow import __version__
from geoflow.atomic import write_text
from geoflow_tools.bench.cost import measure_cost
from geoflow_tools.bench.ladder import (
    RUNGS,
    Budget,
    Climb,
    climb,
    start_noise,
    summarise,
    wasserstein,
)
from geoflow_tools.bench.ladder_tables import ladder_tables
from geoflow_tools.bench.toy_data import DATA, EXACT

NUM_DATA = 200_000
_WIDE = "chair-latents"


@dataclass(frozen=True)
class ObjectivesBenchmark:
    """Train every objective on all data for the same time, and score few-step samples."""

    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="DATA ...")] = tuple(DATA)
    """Keys of DATA to climb."""
    rungs: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART ...")] = ("",)
    """Parts of the names of the rungs to train; default: all."""
    seeds: int = 1
    """Trainings of every rung; means and standard deviations are reported."""
    samples: int = 1_500
    """Samples of a comparison; 1,000 at most for chairs."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes of one thread each."""
    budget: Budget = field(default_factory=Budget)
    """Time and network of every rung; latents of chairs get twice the width and half more time."""
    cost: bool = True
    """Measure time and memory of a training step, too."""
    repeats: int = 7
    """Repeats of each measurement of a step; medians are reported."""
    report: Path | None = None
    """Report of an earlier run to draw and tabulate; nothing is trained."""
    plot: Path | None = None
    """Picture to write: distance against evaluations."""
    tables: Path | None = None
    """Markdown file to write: a table for each kind of data, the nearest row first."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, Any]:
        """The report.

        Raises:
            ValueError: for unknown data, if no rung has the given name, or if the earlier report
                is none of this benchmark.
        """
        report = self._climbed() if self.report is None else read_report(self.report)
        if self.plot is not None:
            from geoflow_tools.bench.plot import plot_ladder

            plot_ladder(report["data"], self.plot)
        if self.tables is not None:
            write_text(self.tables, ladder_tables(report["data"]))
        return report

    def _climbed(self) -> dict[str, Any]:
        """The report of a run."""
        rungs = [rung for rung in RUNGS if any(part in rung.name for part in self.rungs)]
        if not rungs or set(self.data) - set(DATA):
            raise ValueError(
                f"data are {', '.join(DATA)}; rungs are {', '.join(r.name for r in RUNGS)}; "
                f"got {', '.join(self.data)} and {', '.join(self.rungs)}"
            )
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        report: dict[str, Any] = {
            "geoflow": __version__,
            "torch": torch.__version__,
            "cores": os.cpu_count(),
            "budget": asdict(self.budget),
        }
        if self.cost:
            report["cost"] = measure_cost(rungs, repeats=self.repeats)
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder) / f"{name}.pt" for name in self.data}
            floors = {name: self._draw(name, path) for name, path in paths.items()}
            places = list(itertools.product(self.data, rungs))
            tasks = [
                Climb(rung, paths[name], self._budget(name), seed)
                for name, rung in places
                for seed in range(self.seeds)
            ]
            context = multiprocessing.get_context("spawn")
            with context.Pool(self.workers, maxtasksperchild=1) as pool:
                results = list(track(pool.imap(climb, tasks, chunksize=1), total=len(tasks)))
        climbed: dict[str, Any] = {
            name: {"floor": floor, "rungs": {}} for name, floor in floors.items()
        }
        for i, (name, rung) in enumerate(places):
            runs = results[i * self.seeds : (i + 1) * self.seeds]
            climbed[name]["rungs"][rung.name] = summarise(runs)
        report["data"] = climbed
        return report

    def _budget(self, name: str) -> Budget:
        if name != _WIDE:
            return self.budget
        wider, longer = 2 * self.budget.width, 1.5 * self.budget.seconds
        return replace(self.budget, width=wider, seconds=longer)

    def _draw(self, name: str, path: Path) -> float | None:
        """Write training data and reference; the distance of two draws."""
        generator = torch.Generator().manual_seed(0)
        draw = DATA[name]
        data = draw(NUM_DATA, generator, "train")
        num = self.samples
        if name == _WIDE:
            held_out = draw(2 * num, generator, "test")
            reference, other = held_out, data[torch.randperm(len(data))[: len(held_out)]]
        else:
            reference, other = (draw(num, generator, "test") for _ in range(2))
        stored = {"data": data, "reference": reference}
        if name in EXACT:
            stored["exact"] = EXACT[name](start_noise(reference))
        torch.save(stored, path)
        return wasserstein(other, reference)


def read_report(path: Path) -> dict[str, Any]:
    """A report of this benchmark.

    Raises:
        ValueError: if the file is none.
        OSError: if it cannot be read.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        rows = [rung for data in report["data"].values() for rung in data["rungs"].values()]
        is_one = bool(rows) and all("one_nna_references" in rung for rung in rows)
    except (ValueError, KeyError, TypeError, AttributeError):
        is_one = False
    if not is_one:
        raise ValueError(f"{path} is no report of bench objectives with energy distance and 1-NNA")
    found: dict[str, Any] = report
    return found
