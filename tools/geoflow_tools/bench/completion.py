"""Solids from noisy points: ours beside what people use, on shapes whose distances are known.

Of each shape N points of the surface are drawn, and moved by Gaussian noise. A result is compared
in the shape's units, longest half extent 1:

    chamfer    (mean_a d(a, B) + mean_b d(b, A)) / 2, unsquared, between points of both surfaces
    f_score    harmonic mean of the shares of those points within 0.02 of the other surface's
    iou        of volumes, at the shape's uniform points; inside is a winding number above 1/2
    boundary   mean distance of points of the true surface from the result's triangles
    watertight share of results whose every edge belongs to two faces
    fit        quantile 95 % of the given points' distances from the result's triangles

The floor is the same of two draws of the true surface. A method that makes nothing of the points
has failed: it counts as the worst in medians, and its share is reported.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import trimesh
import tyro
from jaxtyping import Float

from geoflow import __version__
from geoflow.geometry.metrics import METRICS
from geoflow.models.completion import (
    FITTING,
    RECYCLED,
    answer,
    load_solids,
    prepare,
    with_guessed_normals,
)
from geoflow.models.kinds import COMPLETING
from geoflow.models.meshes import FieldGenerator
from geoflow_datasets import PROCEDURAL, load
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.procedural.source import PROCEDURAL as SHAPES
from geoflow_tools.bench.reconstructors import PACKAGES, RECONSTRUCTORS

# Points of the true surface that are measured against; none of them is given to anybody.
_MEASURED = 1024
# Surface points of procedural shapes.
_STORED = 4096
_COLUMNS = ("chamfer", "f_score", "iou", "boundary", "fit", "seconds", "processor")
_BETTER_HIGH = ("f_score", "iou")
Counts = Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")]


@dataclass(frozen=True)
class Case:
    """A shape, and points of it."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"] | None
    surface: Float[np.ndarray, "m 3"]
    """Other points of the true surface."""
    queries: Float[np.ndarray, "u 3"]
    """Uniform in the box."""
    inside: Any
    """Of the queries."""


@dataclass
class Results:
    """Of one method and number of points."""

    each: list[dict[str, float] | None] = field(default_factory=list)
    watertight: list[bool] = field(default_factory=list)

    def summary(self) -> dict[str, float | None]:
        """Medians, shares, and the mean IoU; a failure is None in medians, and has IoU 0."""
        found: dict[str, float | None] = {
            "failed": self.each.count(None) / len(self.each),
            "watertight": float(np.mean(self.watertight)),
        }
        for name in _COLUMNS:
            worst = -np.inf if name in _BETTER_HIGH else np.inf
            median = float(np.median([worst if e is None else e[name] for e in self.each]))
            found[name] = median if np.isfinite(median) else None
        found["mean_iou"] = float(np.mean([0.0 if e is None else e["iou"] for e in self.each]))
        return found


@dataclass(frozen=True)
class CompletionBenchmark:
    """Complete noisy points of held-out shapes, by a model and by what people use."""

    model: str = COMPLETING
    """Shipped model, or a folder, of kind sdf or shapes. For one that needs normals they are
    guessed where none are given."""
    data: str = PROCEDURAL
    """The word procedural, a folder of meshes, or of banks by split."""
    category: str = "all"
    """Category of the data."""
    split: Literal["test", "val", "train"] = "test"
    """Choose on val, report on test."""
    num: int = 16
    """Shapes."""
    points: Counts = (64, 300, 1000, 2048)
    """Numbers of points, a table each."""
    noise: float = 0.01
    """Standard deviation of the points' noise."""
    normals: bool = False
    """Give everybody the true normals."""
    recycle: int = RECYCLED
    """Times that bare points are read again, with normals of the answer's own field."""
    refine: int = 0
    """Steps of gradient of the model's answers."""
    mend: bool = True
    """Let its fields go through the points, where it learnt to mend them."""
    steps: Counts = ()
    """Numbers of evaluations for a second answer of the flow, a row each."""
    ode: Counts = ()
    """Likewise of steps of the ODE of the same network, the many-step reference."""
    fitting: int = FITTING
    """Steps of gradient that fit second answers to the points; 0: the flow's own."""
    resolution: int = 128
    """Cells of the model's grid along an edge."""
    peers: bool = True
    """Run what people use too."""
    seed: int = 0
    """Of points and noise."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """A table of methods for each number of points.

        Raises:
            ValueError: as `bank`.
        """
        model, reader = load_solids(self.model), load_solids(COMPLETING)
        bank = self.bank()
        chosen = np.linspace(0, len(bank) - 1, min(self.num, len(bank))).astype(int)
        tables = {}
        for num in self.points:
            rows: dict[str, Results] = {}
            for index in chosen.tolist():
                case = self.case(bank, index, num)
                for name, mesh, seconds in self._meshes(model, reader, case):
                    row = rows.setdefault(name, Results())
                    row.each.append(None if mesh is None else score(case, mesh) | seconds)
                    row.watertight.append(mesh is not None and METRICS["watertight"](mesh))
            tables[str(num)] = {name: row.summary() for name, row in rows.items()}
        return {
            "geoflow": __version__,
            "model": Path(self.model).name,
            "data": Path(self.data).name,
            "category": self.category,
            "split": self.split,
            "shapes": len(chosen),
            "noise": self.noise,
            "normals_given": self.normals,
            "floor": float(np.median([self._floor(bank, index) for index in chosen.tolist()])),
            "left_out": [name for name in RECONSTRUCTORS if not _is_there(name)],
            "threads": torch.get_num_threads(),
            "medians": tables,
        }

    def bank(self) -> ShapeBank:
        """The split.

        Raises:
            ValueError: for more points than the data has beside those that are measured against.
        """
        if self.data == PROCEDURAL:
            names = SHAPES.names(self.category)
            bank = SHAPES.bank(names, split=self.split, num=self.num, num_surface=_STORED)
        else:
            bank = load(self.data, self.category, split=self.split).loaded()
        most = bank.surface.shape[1] - _MEASURED
        if max(self.points) > most:
            raise ValueError(
                f"points must be at most {most}: the data has {bank.surface.shape[1]} points a "
                f"shape, of which {_MEASURED} are measured against; got {max(self.points)}"
            )
        return bank

    def case(self, bank: Any, index: int, num: int) -> Case:
        """Points of a shape, others of its surface, and its uniform queries."""
        rng = np.random.default_rng([self.seed, index, num])
        order = rng.permutation(bank.surface.shape[1])
        surface, normals = (
            np.asarray(values[index], dtype=np.float64) for values in (bank.surface, bank.normals)
        )
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        given, others = order[:num], order[-_MEASURED:]
        queries, distances = bank.uniform_queries(index)
        return Case(
            surface[given] + self.noise * rng.normal(size=(len(given), 3)),
            normals[given] if self.normals else None,
            surface[others],
            np.asarray(queries, dtype=np.float64),
            np.asarray(distances) < 0,
        )

    def _meshes(
        self, model: FieldGenerator, reader: FieldGenerator, case: Case
    ) -> Iterator[tuple[str, trimesh.Trimesh | None, dict[str, float]]]:
        """Every method's mesh, and what it took."""
        start = _clocks()
        given = prepare(model, case.points, case.normals)
        if case.normals is None and not model.reads_bare_points:
            given = with_guessed_normals(model, given, reader=reader)
        options: dict[str, Any] = {
            "recycle": self.recycle, "refine": self.refine, "mend": self.mend,
            "resolution": self.resolution,
        }  # fmt: skip
        (mesh,) = answer(model, given, **options)
        yield "geoflow", mesh, _since(start)
        ways = [(steps, False) for steps in self.steps] + [(steps, True) for steps in self.ode]
        for steps, ode in ways:
            start = _clocks()
            *_, mesh = answer(
                model, given, num=2, steps=steps, ode=ode, fitting=self.fitting, seed=self.seed,
                **options,
            )  # fmt: skip
            way = f"{steps} steps of the ODE" if ode else f"{steps} steps"
            yield f"geoflow, another answer, {way}", mesh, _since(start)
        for name, reconstruct in RECONSTRUCTORS.items() if self.peers else ():
            if _is_there(name):
                start = _clocks()
                found = reconstruct(case.points, case.normals)
                yield name, found, _since(start)

    def _floor(self, bank: Any, index: int) -> float:
        rng = np.random.default_rng([self.seed, index])
        surface = np.asarray(bank.surface[index], dtype=np.float64)
        halves = np.array_split(rng.permutation(surface)[: 2 * _MEASURED], 2)
        return float(METRICS["chamfer"](*halves))


def score(case: Case, mesh: trimesh.Trimesh) -> dict[str, float]:
    """The measures of a mesh, but for its time."""
    import point_cloud_utils as pcu

    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int64)
    drawn, _ = trimesh.sample.sample_surface(mesh, _MEASURED, seed=0)
    winding = pcu.triangle_soup_fast_winding_number(vertices, faces, case.queries)
    away, fit = (
        np.asarray(pcu.closest_points_on_mesh(np.ascontiguousarray(places), vertices, faces)[0])
        for places in (case.surface, case.points)
    )
    return {
        "chamfer": float(METRICS["chamfer"](np.asarray(drawn), case.surface)),
        "f_score": float(METRICS["f_score"](np.asarray(drawn), case.surface)),
        "iou": float(METRICS["volume_iou"](np.abs(winding) > 0.5, case.inside)),
        "boundary": float(away.mean()),
        "fit": float(np.quantile(fit, 0.95)),
    }


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(PACKAGES[name]) is not None


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> dict[str, float]:
    wall, processor = _clocks()
    return {"seconds": wall - start[0], "processor": processor - start[1]}
