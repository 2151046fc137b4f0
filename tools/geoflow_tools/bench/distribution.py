"""Geometry distributions in few steps: the table of the cumulative-flow-map paper on our meshes.

Trainings of one network for each mesh: EDM (flow matching on falling noise levels), EDM with
cumulative flow maps, cumulative flow maps of the velocity (u), and these two with targets averaged
over the points of a step; each map as it was trained, and with its jumps fitted to its own ODE. The
first is sampled by Euler steps of its ODE between EDM's own noise levels, and between those that
the jumps of the others land on. Distances are Chamfer between equally many points, unsquared mean,
longest half extent 1; `floor` is that of two draws of the surface; `training seconds` are of the
processor, those of the fit alone in its row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from rich.progress import track

from geoflow import __version__
from geoflow.geometry.metrics import chamfer_distance
from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.training.loop import fit
from geoflow.training.stage import Context, Stage
from geoflow.training.stages.distribution import DistributionStage, DistributionTraining
from geoflow.training.stages.jumps import JumpStage, JumpTraining
from geoflow_datasets.mesh_surface import MeshSurface
from geoflow_datasets.procedural import CATEGORIES
from geoflow_tools.contact_sheet import procedural_mesh


@dataclass(frozen=True)
class Variant:
    """A row of the table."""

    objective: str
    """Key of OBJECTIVES."""
    interpolant: str
    """Key of INTERPOLANTS."""
    prediction: str
    """Key of PREDICTIONS."""
    targets: Literal["pair", "pooled"] = "pair"
    """What is learnt from."""


FITTED = ", jumps fitted"
"""Ends the name of the row of a map whose jumps were fitted."""

VARIANTS = {
    "EDM": Variant("flow-matching", "ve", "x1"),
    "EDM, cumulative": Variant("cumulative", "ve", "x1"),
    "u, cumulative": Variant("cumulative", "linear", "u"),
    "EDM, cumulative, pooled": Variant("cumulative", "ve", "x1", "pooled"),
    "u, cumulative, pooled": Variant("cumulative", "linear", "u", "pooled"),
}


@dataclass(frozen=True)
class DistributionBenchmark:
    """Train the variants on every mesh, and score them at every number of steps."""

    meshes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MESH ...")] = (
        "chair",
        "mug",
        "airplane",
    )
    """Procedural categories (the first shape of the test split), or mesh files."""
    variants: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART ...")] = ("",)
    """Beginnings of the names of the variants to train; default: all."""
    steps: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (1, 3, 6, 60)
    """Network evaluations per point."""
    points: int = 16_384
    """Points of a comparison."""
    training: DistributionTraining = field(default_factory=DistributionTraining)
    """Options of every training, but for the objective."""
    jumps: JumpTraining = field(default_factory=JumpTraining)
    """Options of what fits the jumps of a map to its own ODE after it."""
    seed: int = 0
    """Of weights, batches and noise of the trainings."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report."""
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "seed": self.seed,
            "training": asdict(self.training),
            "chamfer": {name: self._mesh(name) for name in self.meshes},
        }

    def _mesh(self, name: str) -> dict[str, object]:
        if name in CATEGORIES:
            surface = MeshSurface.of(procedural_mesh(name, 0, resolution=192))
        else:
            surface = MeshSurface.read(Path(name))
        reference, other = (
            surface.draw(self.points, torch.Generator().manual_seed(seed)).numpy()
            for seed in (0, 1)
        )
        rows: dict[str, object] = {"floor": chamfer_distance(other, reference)}
        chosen = {k: v for k, v in VARIANTS.items() if k.startswith(self.variants)}
        for label, variant in chosen.items():
            named = f"{Path(name).stem}: {label}"
            model, stages = self._stages(surface, variant)
            is_ode = variant.objective == "flow-matching"
            for suffix, stage in stages:
                spent = time.process_time()
                steps = stage.options.steps
                for _ in track(fit(stage), total=steps, description=named + suffix):
                    pass
                seconds = {"training seconds": time.process_time() - spent}
                rows[label + suffix] = self._distances(model, reference, is_ode=is_ode) | seconds
            if is_ode:
                rows[f"{label}, levels of the jumps"] = {
                    str(steps): chamfer_distance(self._between_jumps(model, steps), reference)
                    for steps in self.steps
                }
        return rows

    def _distances(
        self, model: GeometryDistribution, reference: Float[np.ndarray, "n 3"], *, is_ode: bool
    ) -> dict[str, float]:
        return {
            str(steps): chamfer_distance(
                model.sample(self.points, steps=steps, ode=is_ode).numpy(), reference
            )
            for steps in self.steps
        }

    def _between_jumps(self, model: GeometryDistribution, steps: int) -> Float[np.ndarray, "n 3"]:
        grid = model.config.grid(steps)
        *_, end = model.trajectory(model.noise(self.points), ode=True, times=grid)
        points: Float[np.ndarray, "n 3"] = end.numpy()
        return points

    def _stages(
        self, surface: MeshSurface, variant: Variant
    ) -> tuple[GeometryDistribution, Iterator[tuple[str, Stage[Any, Any]]]]:
        """A fresh model, and what trains it in turn, made when its turn comes."""
        torch.manual_seed(self.seed)
        options = replace(self.training, objective=variant.objective, targets=variant.targets)
        config = DistributionConfig(interpolant=variant.interpolant, prediction=variant.prediction)
        model = GeometryDistribution.build(config)
        context = Context(model, surface.draw, seed=self.seed)

        def stages() -> Iterator[tuple[str, Stage[Any, Any]]]:
            yield "", DistributionStage(options, context)
            if variant.objective != "flow-matching":
                yield FITTED, JumpStage(self.jumps, context)

        return model, stages()
