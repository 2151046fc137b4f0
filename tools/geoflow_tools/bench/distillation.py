"""Few-step maps from one teacher: every objective that distils, the same time, the same network.

The teacher is trained by flow matching alone; each student starts with its weights. On the mixture,
whose flow is known, `rms` is the distance of samples from the ends of the exact flow: what a
student loses against its teacher's 50 steps is what its objective costs. `to_teacher` is that from
the ends of those 50 steps, on any data. Of data that are few, as digits, `to_training` says how far
samples are from the nearest example to learn from, in units of how far held-out examples are
(medians): 1 for new ones of the same distribution, 0 for copies.

References: Lagrangian (LMD), Eulerian (EMD) and progressive (PFMM) distillation, Boffi et al.,
"Flow map matching", 2024, arXiv:2406.07507; consistency distillation, Song et al., 2023,
arXiv:2303.01469; data-free, Tong et al., "Flow Map Distillation Without Data", 2025,
arXiv:2511.19428.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from geoflow import __version__
from geoflow.flow_map import FlowMap
from geoflow.objectives import OBJECTIVES, Distillation, FlowMatching, build_objective
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow_tools.bench.ladder import (
    ENDS_ONLY,
    ODE_STEPS,
    STEPS,
    Budget,
    Rung,
    build_map,
    score,
    start_noise,
    summarise,
    train,
)
from geoflow_tools.bench.toy_data import DISTILLED, EXACT

NUM_DATA = 200_000
STUDENTS = tuple(name for name, found in OBJECTIVES.items() if issubclass(found, Distillation))
"""Objectives that distil."""
_CELL = Rung("flow-matching", prediction="u")


@dataclass(frozen=True)
class Task:
    """A teacher and its students, on the examples in a file."""

    path: Path
    students: tuple[str, ...]
    teacher: Budget
    budget: Budget
    seed: int


@dataclass(frozen=True)
class DistillationBenchmark:
    """Distil one teacher by every objective that can, for the same time, and score few steps."""

    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="DATA ...")] = (
        "mixture",
        "digits",
    )
    """Keys of DISTILLED."""
    students: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = STUDENTS
    """Keys of OBJECTIVES that distil."""
    seeds: int = 1
    """Teachers, each with students; means and standard deviations are reported."""
    samples: int = 1_500
    """Samples of a comparison; of digits there are 360 at most."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes of one thread each."""
    teacher: Budget = field(default_factory=Budget)
    """Time and network of the teacher."""
    budget: Budget = field(default_factory=lambda: Budget(seconds=20.0, diagonal_first=0.0))
    """Time of a student, whose network is the teacher's."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report.

        Raises:
            ValueError: for unknown data, or a student that cannot distil.
        """
        if set(self.data) - set(DISTILLED) or set(self.students) - set(STUDENTS):
            raise ValueError(
                f"data are {', '.join(DISTILLED)}; students are {', '.join(STUDENTS)}; "
                f"got {', '.join(self.data)} and {', '.join(self.students)}"
            )
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        student = replace(self.budget, width=self.teacher.width)
        with tempfile.TemporaryDirectory() as folder:
            tasks = [
                Task(self._draw(name, Path(folder)), self.students, self.teacher, student, seed)
                for name in self.data
                for seed in range(self.seeds)
            ]
            context = multiprocessing.get_context("spawn")
            with context.Pool(self.workers, maxtasksperchild=1) as pool:
                found = list(track(pool.imap(teach, tasks, chunksize=1), total=len(tasks)))
        tables: dict[str, Any] = {}
        for i, name in enumerate(self.data):
            runs = found[i * self.seeds : (i + 1) * self.seeds]
            tables[name] = {row: summarise([run[row] for run in runs]) for row in runs[0]}
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "teacher": asdict(self.teacher),
            "budget": asdict(student),
            "data": tables,
        }

    def _draw(self, name: str, folder: Path) -> Path:
        """The file of the data's examples."""
        generator = torch.Generator().manual_seed(0)
        drawn = {
            "data": DISTILLED[name](NUM_DATA, generator, "train"),
            "reference": DISTILLED[name](self.samples, generator, "test"),
        }
        if name in EXACT:
            drawn["exact"] = EXACT[name](start_noise(drawn["reference"]))
        path = folder / f"{name}.pt"
        torch.save(drawn, path)
        return path


def teach(task: Task) -> dict[str, Any]:
    """Train a teacher and its students, and score them all."""
    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    stored = torch.load(task.path, weights_only=True)
    data, reference, exact = stored["data"], stored["reference"], stored.get("exact")
    teacher = build_map(_CELL, data, task.teacher.width)
    steps, ema = train(teacher, FlowMatching(), data, task.teacher, seed=task.seed)
    teacher = ema.module.requires_grad_(False).eval()
    *_, ends = sample_ode(teacher, start_noise(reference), steps=ODE_STEPS)
    # Without a jump of its own, the teacher's few steps are Euler's.
    euler = teacher.diagonal()
    few = data if len(data) < NUM_DATA else None
    about = (reference, exact, ends, few)
    table = {"teacher": _row(euler, steps, *about, ends_only=False)}
    for name in task.students:
        student = copy.deepcopy(teacher).requires_grad_(True)
        objective = build_objective(name).distilling(teacher)
        taken, kept = train(student, objective, data, task.budget, seed=task.seed)
        ends_only = name in ENDS_ONLY
        table[name] = _row(kept.module, taken, *about, ends_only=ends_only)
    return table


@torch.no_grad()
def _row(
    flow_map: FlowMap,
    steps: int,
    reference: Float[Tensor, "n d"],
    exact: Float[Tensor, "n d"] | None,
    teacher: Float[Tensor, "n d"],
    few: Float[Tensor, "m d"] | None,
    *,
    ends_only: bool,
) -> dict[str, Any]:
    """Scores of a map, and the distances of its samples from the teacher's ends and from data."""
    row: dict[str, Any] = {"training_steps": steps, "to_teacher": {}}
    for num in STEPS:
        *_, end = sample_flow_map(flow_map, start_noise(reference), steps=num)
        distance = (end - teacher).square().sum(1).mean().sqrt().item()
        is_finite = bool(torch.isfinite(end).all())
        row["to_teacher"][str(num)] = distance if is_finite else None
        if few is not None:
            near = newness(end, few, reference) if is_finite else None
            row.setdefault("to_training", {})[str(num)] = near
    return row | score(flow_map, reference, exact=exact, ends_only=ends_only)


def newness(
    samples: Float[Tensor, "n d"], data: Float[Tensor, "m d"], held_out: Float[Tensor, "k d"]
) -> float:
    """Median distance of samples to the nearest of the data, over that of held-out examples."""
    near, usual = (torch.cdist(x, data).min(1).values.median() for x in (samples, held_out))
    return (near / usual).item()
