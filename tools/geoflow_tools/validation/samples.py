"""What trainings of shapes report, whatever the shapes are: sheets and quality of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from geoflow.geometry.metrics import Estimate, chamfer_distance
from geoflow.models.latent import Detail, LatentGenerator, Shape
from geoflow.symmetry import Symmetry
from geoflow.training.loop import Progress
from geoflow.training.reports import Validation
from geoflow.training.run import Run
from geoflow_datasets.bank import CloudBank, ShapeBank
from geoflow_tools.validation.draws import disjoint_draws
from geoflow_tools.validation.step_quality import StepQuality, climb, finite, pairing_distance
from geoflow_viewer.picture import contact_sheet

SHEET_STEPS = (1, 2, 4)
_NUM_SHAPES = 16
# Cells of the extraction grid along an edge, and points: five meshes of every sample in seconds.
_DETAIL = Detail(resolution=48, points=1024)
NUM_POINTS = 2048
"""Points of a cloud in comparisons and pictures."""


def validate_shapes(
    run: Run,
    loaded: Any,
    progress: Progress,
    reconstructions: Callable[[Any, Path], dict[str, float]],
) -> Validation:
    """Contact sheets of both stages, with what each is measured by.

    Args:
        run: with a model of shapes.
        loaded: its data; `validation` and `training` are banks.
        progress: of the stage.
        reconstructions: writes the first stage's sheet, and gives its numbers.
    """
    path = run.folder / "sheets" / f"{progress.stage}-{progress.step:06d}.png"
    model: Any = run.averaged().to(run.device)
    if progress.stage == "flow":
        write_sample_sheet(model, path)
        quality = shape_quality(model, loaded.validation, loaded.bank)
        return Validation({"quality": asdict(quality)}, path)
    numbers = reconstructions(model, path)
    # The stage goes on with what was just looked at.
    model.autoencoder.train()
    return Validation(numbers, path)


def surface_points(mesh: trimesh.Trimesh, *, seed: int, num: int = NUM_POINTS) -> np.ndarray:
    """Uniform points on a mesh."""
    points, _ = trimesh.sample.sample_surface(mesh, num, seed=seed)
    return np.asarray(points)


def sample_rows(
    generator: LatentGenerator[Any],
    *,
    num: int,
    steps: tuple[int, ...] = SHEET_STEPS,
    ode_steps: int | None = None,
    seed: int = 0,
    resolution: int = 96,
    category: str | None = None,
    guidance: float | None = None,
    join: float | None = None,
) -> tuple[list[list[Shape | None]], list[str]]:
    """Rows of samples from the same noise at several step counts, with labels."""
    noise = generator.noise(num, seed=seed)
    cond = generator.condition(num, category=category, guidance=guidance)
    runs = [(count, False) for count in steps] + ([(ode_steps, True)] if ode_steps else [])
    rows, labels = [], []
    detail = Detail(resolution, NUM_POINTS, join)
    for count, ode in runs:
        try:
            tokens = generator.sample_latents(noise, cond, steps=count, ode=ode)
            rows.append([*generator.shapes(tokens, detail, steps=count, seed=seed, ode=ode)])
        except FloatingPointError:
            # A map that is hardly trained may overflow, which ends no run.
            rows.append([None] * num)
        unit = "step" if count == 1 else "steps"
        labels.append(f"{count} {unit}" + (" of the ODE" if ode else ""))
    return rows, labels


def write_sample_sheet(generator: LatentGenerator[Any], path: Path, *, num: int = 8) -> None:
    """1-, 2- and 4-step samples of the same noise as a picture; of several categories, each's."""
    names = generator.categories
    rows, labels = [], []
    for name in names:
        made, said = sample_rows(
            generator,
            num=num,
            steps=SHEET_STEPS if len(names) == 1 else (2,),
            resolution=64,
            category=name,
        )
        rows += made
        labels += said if len(names) == 1 else [f"{name}, {text}" for text in said]
    contact_sheet(rows, labels, path, size=120)


def shape_quality(
    generator: LatentGenerator[Any],
    held_out: ShapeBank | CloudBank,
    training: ShapeBank | CloudBank,
    *,
    num: int = _NUM_SHAPES,
) -> StepQuality:
    """Samples of the categories of held-out shapes against these shapes.

    A sample without a surface, or not finite, counts as a point at the origin. Samples of a
    symmetry without a frame come in any pose, so held-out shapes are turned likewise.
    """
    rows = _evenly(np.arange(len(held_out)), num)
    symmetry, categories = generator.config.symmetry, held_out.categories[rows]
    reference = _clouds(held_out, rows, symmetry, seed=0)
    alike = [
        _evenly(np.flatnonzero(training.categories == category), int(count))
        for category, count in zip(*np.unique(categories, return_counts=True), strict=True)
    ]
    others = _clouds(training, np.concatenate(alike), symmetry, seed=1)
    noise = generator.noise(len(rows))
    drawn: dict[str, list[np.ndarray]] = {}

    def measure(steps: int, ode: bool) -> Estimate:
        samples: list[np.ndarray] = []
        for category in np.unique(categories):
            name = held_out.category_names[category]
            chosen = noise[torch.from_numpy(categories == category)]
            cond = generator.condition(len(chosen), category=name)
            try:
                tokens = generator.sample_latents(chosen, cond, steps=steps, ode=ode)
                samples += _decode(generator, tokens, steps=steps, ode=ode)
            except FloatingPointError:
                # A map that is hardly trained may overflow, which ends no run.
                samples += [np.zeros((1, 3))] * len(chosen)
        drawn["ode" if ode else str(steps)] = samples
        return pairing_distance(samples, reference)

    label = f"mean Chamfer distance of the best pairing with {len(rows)} held-out shapes"
    floor = pairing_distance(others, reference) if others else None
    quality = climb(label, measure, floor)
    last = drawn.pop("ode")
    to_ode = {
        steps: float(np.mean([chamfer_distance(*pair) for pair in zip(clouds, last, strict=True)]))
        for steps, clouds in drawn.items()
    }
    return replace(quality, to_ode=to_ode)


def _decode(
    generator: LatentGenerator[Any], tokens: Tensor, *, steps: int, ode: bool
) -> list[Float[np.ndarray, "_ 3"]]:
    """Points of the samples; the origin where there is no shape."""
    made = generator.shapes(tokens, _DETAIL, steps=steps, ode=ode)
    return [_points_of(shape, seed=i) for i, shape in enumerate(made)]


def _points_of(shape: Shape | None, *, seed: int) -> Float[np.ndarray, "n 3"]:
    if shape is None:
        return np.zeros((1, 3))
    if isinstance(shape, trimesh.PointCloud):
        return finite(np.asarray(shape.vertices))
    points, _ = trimesh.sample.sample_surface(shape, _DETAIL.points, seed=seed)
    return np.asarray(points)


def _clouds(
    bank: ShapeBank | CloudBank, rows: np.ndarray, symmetry: Symmetry, *, seed: int
) -> list[np.ndarray]:
    """Surface points of shapes, in the poses that samples of a symmetry have."""
    rng = np.random.default_rng(seed)
    clouds = [disjoint_draws(bank, row, (_DETAIL.points,), seed=seed)[0] for row in rows.tolist()]
    if symmetry == "frame":
        return clouds
    if symmetry == "so2":
        turns = Rotation.from_euler("y", rng.uniform(0, 2 * np.pi, len(clouds)))
    else:
        turns = Rotation.random(len(clouds), random_state=rng)
    return [turn.apply(cloud) for turn, cloud in zip(turns, clouds, strict=True)]


def _evenly(rows: np.ndarray, num: int) -> np.ndarray:
    """At most `num` of the rows, spread over all."""
    return rows[np.linspace(0, len(rows) - 1, min(num, len(rows))).round().astype(int)]
