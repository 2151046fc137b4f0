"""A shape from 64 points, twice: a random function carried to its field, noise to its latent.

The functional maps (`geoflow_tools.functional`) are trained here for equal times on the same
shapes, from the same weights: by a cumulative objective with data prediction (x1) and with velocity
prediction (u), and by flow matching, the many-step baseline. The latent one is a shipped model with
the training that it has. All are given the same exact points of held-out shapes and the shape's own
box, and are measured as `bench completion` measures, in 1, 2, 4, 10 and 64 evaluations, cumulative
maps by the ODE of their diagonal, too ("64, ODE"). Further,

    spread   standard deviation of a functional answer over uniform places of the box, over that of
             the true clamped field there: 0 is a constant field, 1 as wide as the truth
    sign_iou IoU of volumes by the answer's sign at those places, with a mesh or without

A functional answer is of the clamped field, whose zero level is the surface.

References: Zhang & Wonka, "Functional Diffusion", 2023, arXiv:2311.15435; Li et al., "Functional
Mean Flow", 2025, arXiv:2511.12898, and "A Few-Step Generative Model on Cumulative Flow Maps",
2026, arXiv:2605.03623, whose tables' values are in PUBLISHED.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import trimesh
import tyro
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor

from geoflow import __version__
from geoflow.atomic import write_bytes, write_json
from geoflow.flow_map import FlowMap
from geoflow.geometry.extraction import EmptySurfaceError, extract_mesh
from geoflow.geometry.metrics import METRICS
from geoflow.models.completion import answer, load_solids, prepare
from geoflow.models.kinds import COMPLETING
from geoflow.models.latent import Shape
from geoflow_datasets.procedural.source import PROCEDURAL
from geoflow_tools.bench.completion import Case, CompletionBenchmark, Results, score
from geoflow_tools.contact_sheet import procedural_mesh
from geoflow_tools.functional.network import FunctionalConfig
from geoflow_tools.functional.random_function import RandomFunction
from geoflow_tools.functional.solution import Solution, solve
from geoflow_tools.functional.training import (
    CLAMP,
    RECIPES,
    FieldData,
    FunctionalTraining,
    build,
    clamped,
    context_places,
    train,
)
from geoflow_viewer.picture import contact_sheet
from geoflow_viewer.scene import INK

# The cumulative paper's table, by an evaluation and data that were not published.
PUBLISHED = {
    "functional diffusion, 64 steps": {"chamfer": 0.101, "f_score": 0.707, "boundary": 0.012},
    "functional mean flow, 1 step": {"chamfer": 0.060, "f_score": 0.584},
    "cumulative flow map, 4 steps": {"chamfer": 0.048, "f_score": 0.659, "boundary": 0.011},
}
_MEASURES = ("chamfer", "f_score", "iou", "boundary")
# Share of a coarse cell's diagonal under which a distance asks for finer ones: below the clamp.
_REACH = 0.4
# What a picture shows.
_SHAPES_SHOWN = 4
_STEPS_SHOWN = {"x1": (1, 4), "u": (4,), "flow matching": (1, 64)}
_LATENT_SHOWN = 4
# Settings that a row does not depend on.
_FREE = ("runs", "rows", "seeds", "sheet", "out")


@dataclass(frozen=True)
class HeldOut:
    """A test shape."""

    case: Case
    field: Float[Tensor, " u"]
    """The clamped field at the case's queries."""


@dataclass(frozen=True)
class FunctionalBenchmark:
    """Train functional maps for equal times, and score them beside a latent model."""

    runs: Path
    """Folder of trained maps and their scores; what is there, of these settings, is not done
    again."""
    category: str = "chair"
    """Procedural category, several with commas, or all."""
    shapes: int = 3000
    """Shapes of the train split."""
    num: int = 6
    """Shapes of the test split."""
    rows: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(RECIPES)
    """Keys of RECIPES."""
    seeds: int = 1
    """Trainings of each; a row of medians for each seed."""
    steps: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (1, 2, 4, 10, 64)
    """Numbers of evaluations."""
    latent: str | None = COMPLETING
    """Shipped model, or a folder, that reads bare points; None leaves it out."""
    resolution: int = 32
    """Cells of every grid along an edge."""
    training: FunctionalTraining = field(default_factory=FunctionalTraining)
    """Time and rates of each."""
    network: FunctionalConfig = field(default_factory=FunctionalConfig)
    """Sizes of each."""
    sheet: Path | None = None
    """PNG file to draw a few test shapes into, by the rows of the first seed."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report.

        Raises:
            ValueError: for an unknown row or category, no seeds, or runs of other settings.
            FloatingPointError: if a training's weights are not finite.
        """
        if unknown := set(self.rows) - set(RECIPES):
            raise ValueError(f"rows are {', '.join(RECIPES)}; got {', '.join(sorted(unknown))}")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        torch.set_num_threads(1)
        found: dict[str, Any] = {}
        for seed in range(self.seeds):
            for row in self.rows:
                name = _name(row, seed)
                found[name] = self._kept(name, partial(self._functional, row, seed))
        if self.latent is not None:
            name = f"latent {Path(self.latent).name}"
            found[name] = self._kept(name, partial(self._latent, self.latent))
        if self.sheet is not None:
            self._draw(self.sheet)
        return {
            "geoflow": __version__,
            "category": self.category,
            "training": asdict(self.training),
            "network": asdict(self.network),
            "test_shapes": self.num,
            "medians": found,
            "published": PUBLISHED,
        }

    def held_out(self) -> list[HeldOut]:
        """Test shapes: exact points of them, and what answers are measured against."""
        bench = CompletionBenchmark(
            category=self.category, num=self.num, points=(self.training.points,), noise=0.0
        )
        bank = bench.bank()
        fields = [torch.from_numpy(bank.uniform_queries(index)[1]) for index in range(self.num)]
        return [
            HeldOut(bench.case(bank, index, self.training.points), clamped(distances))
            for index, distances in enumerate(fields)
        ]

    def trained(self, row: str, seed: int) -> FlowMap:
        """A map whose training is kept in `runs`.

        Raises:
            FileNotFoundError: if it is not there.
        """
        flow_map = build(RECIPES[row], self.network, seed)
        flow_map.load_state_dict(load_file(self._path(_name(row, seed), ".safetensors")))
        return flow_map.eval()

    def solution(
        self, flow_map: FlowMap, case: Case, index: int, steps: int, *, ode: bool
    ) -> Solution:
        """The field of a test shape; noise and context are the same for all maps."""
        generator = torch.Generator().manual_seed(index)
        context = context_places(self.network.context, generator=generator)
        noise = RandomFunction.draw(1, generator=generator)
        points = torch.from_numpy(case.points.astype(np.float32))[None]
        return solve(flow_map, points, context, noise, steps=steps, ode=ode)

    def mesh(self, field: Solution) -> trimesh.Trimesh | None:
        """Its zero level, or None where its sign is the same everywhere."""
        try:
            return extract_mesh(
                lambda places: CLAMP * field(places), resolution=self.resolution, reach=_REACH
            ).mesh
        except EmptySurfaceError:
            return None

    def latent_meshes(self, latent: str, cases: list[Case], steps: int) -> list[trimesh.Trimesh]:
        """What a latent model makes of the points; in no step: its encoder's answer."""
        model = load_solids(latent)
        meshes = []
        for case in cases:
            # Functional maps answer in the shape's own box: the latent one is told it, too.
            given = prepare(model, case.points, None, box=case.surface)
            num = 1 if steps == 0 else 2
            *_, mesh = answer(
                model, given, num=num, steps=steps, fitting=0, resolution=self.resolution
            )
            meshes.append(mesh)
        return meshes

    def _draw(self, path: Path) -> None:
        """A column for each of the first test shapes; points, the truth, and answers below."""
        cases = [held.case for held in self.held_out()[:_SHAPES_SHOWN]]
        names = PROCEDURAL.names(self.category)
        ink = np.tile(np.array(INK, np.uint8), (self.training.points, 1))
        pictures: dict[str, list[Shape | None]] = {
            f"{self.training.points} points": [
                trimesh.PointCloud(case.points, colors=ink) for case in cases
            ],
            "the true shape": [
                procedural_mesh(names[i % len(names)], i // len(names), resolution=64)
                for i in range(len(cases))
            ],
        }
        for row in self.rows:
            flow_map = self.trained(row, 0)
            for steps in _STEPS_SHOWN[row]:
                pictures[f"functional, {row}: {_counted(steps)}"] = [
                    self.mesh(self.solution(flow_map, case, index, steps, ode=RECIPES[row].ode))
                    for index, case in enumerate(cases)
                ]
        if self.latent is not None:
            meshes = self.latent_meshes(self.latent, cases, _LATENT_SHOWN)
            pictures[f"latent, {Path(self.latent).name}: {_counted(_LATENT_SHOWN)}"] = [*meshes]
        contact_sheet(list(pictures.values()), list(pictures), path, size=96)

    def _train(self, row: str, seed: int) -> dict[str, Any]:
        names = PROCEDURAL.names(self.category)
        bank = PROCEDURAL.bank(names, split="train", num=self.shapes, num_workers=1)
        data = FieldData(bank, self.network.context)
        taken, flow_map = train(RECIPES[row], data, self.training, self.network, seed=seed)
        write_bytes(self._path(_name(row, seed), ".safetensors"), save(flow_map.state_dict()))
        return {"training_steps": taken}

    def _functional(self, row: str, seed: int) -> dict[str, Any]:
        # Kept by itself: scoring may be cut off.
        taken = self._kept(f"{_name(row, seed)}, training", partial(self._train, row, seed))
        flow_map, shapes = self.trained(row, seed), self.held_out()
        is_ode = RECIPES[row].ode
        report = {
            str(steps): self._scored(flow_map, shapes, steps, ode=is_ode) for steps in self.steps
        }
        if not is_ode:
            most = max(self.steps)
            report[f"{most}, ODE"] = self._scored(flow_map, shapes, most, ode=True)
        return taken | report

    def _scored(
        self, flow_map: FlowMap, shapes: list[HeldOut], steps: int, *, ode: bool
    ) -> dict[str, Any]:
        results, extra = Results(), []
        for index, held in enumerate(shapes):
            solution = self.solution(flow_map, held.case, index, steps, ode=ode)
            add(results, held.case, self.mesh(solution))
            queries = torch.from_numpy(held.case.queries.astype(np.float32))
            extra.append(of_values(held, solution(queries)))
        medians = {key: float(np.median([e[key] for e in extra])) for key in extra[0]}
        return _chosen(results) | medians

    def _latent(self, latent: str) -> dict[str, Any]:
        cases = [held.case for held in self.held_out()]
        report: dict[str, Any] = {}
        for steps in (0, *self.steps):
            results = Results()
            for case, mesh in zip(cases, self.latent_meshes(latent, cases, steps), strict=True):
                add(results, case, mesh)
            report[str(steps)] = _chosen(results)
        return report

    def _kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is kept of a row, or made and kept now."""
        path = self._path(name, ".json")
        settings = {key: part for key, part in asdict(self).items() if key not in _FREE}
        settings = json.loads(json.dumps(settings))
        if path.is_file():
            kept = json.loads(path.read_text())
            if kept["settings"] != settings:
                raise ValueError(f"{path} is of other settings: name another folder of runs")
            return dict(kept["report"])
        report: dict[str, Any] = make()
        write_json(path, {"settings": settings, "report": report})
        return report

    def _path(self, name: str, ending: str) -> Path:
        self.runs.mkdir(parents=True, exist_ok=True)
        return self.runs / (name.replace(", ", "-").replace(" ", "-") + ending)


def of_values(held: HeldOut, values: Float[Tensor, " u"]) -> dict[str, float]:
    """Spread, and IoU by sign, of an answer at a shape's queries."""
    inside = (values < 0).numpy()
    return {
        "spread": float(values.std() / held.field.std()),
        "sign_iou": float(METRICS["volume_iou"](inside, held.case.inside)),
    }


def add(results: Results, case: Case, mesh: trimesh.Trimesh | None) -> None:
    """Measure a mesh; None has failed."""
    unclocked = {"seconds": 0.0, "processor": 0.0}
    results.each.append(None if mesh is None else score(case, mesh) | unclocked)
    results.watertight.append(mesh is not None and METRICS["watertight"](mesh))


def _chosen(results: Results) -> dict[str, float | None]:
    summary = results.summary()
    return {key: summary[key] for key in ("failed", "watertight", *_MEASURES)}


def _counted(steps: int) -> str:
    return "1 evaluation" if steps == 1 else f"{steps} evaluations"


def _name(row: str, seed: int) -> str:
    return f"functional {row}, seed {seed}"
