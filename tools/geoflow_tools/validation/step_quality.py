"""How far samples are from data, by the number of network evaluations; from equal noise.

Each kind of model has the measure that says what its users see, in unsquared Chamfer distances:

    shapes         mean distance of samples and held-out shapes in their best pairing
    distributions  distance of the points to as many of the surface
    joints         CD-J2J on held-out figures, per cent of the longest edge

A pairing uses every sample and every held-out shape once: bad samples cost, and so do missing
kinds of shapes, which a distance to the nearest shape would not see. The floor is that of data:
of training shapes, or of other points of the surface.

Sixteen shapes are few: where standard errors are wider than the steps of the curve, the distance to
the ODE's sample of the same noise still tells what few evaluations lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation
from torch import Tensor

from geoflow.geometry.metrics import Estimate, chamfer_distance, pairwise_chamfer
from geoflow.geometry.metrics.estimate import mean
from geoflow.models.clouds import PointGenerator
from geoflow.models.distribution import GeometryDistribution
from geoflow.models.fields import Generator
from geoflow.models.joints import Rigger
from geoflow.symmetry import Symmetry
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.cloud_folder import CloudBank
from geoflow_datasets.figure_bank import FigureBank
from geoflow_tools.validation.fields import surface_points, try_decode
from geoflow_tools.validation.joints import predict_clouds, score_clouds

STEPS = (1, 2, 4, 8)
ODE_STEPS = 50
_NUM_SHAPES = 16
_NUM_POINTS = 1024
_SURFACE_POINTS = 4096
# Cells of the extraction grid along an edge: five meshes of every sample in seconds.
_RESOLUTION = 48

Clouds = Sequence[Float[np.ndarray, "n 3"]]
Measure = Callable[[int, bool], Estimate]


@dataclass(frozen=True)
class StepQuality:
    """A distance to data, smaller is better, by evaluations of the flow map and for the ODE.

    `errors` are standard errors by the same names, "ode" and "floor" among them, where they are
    known; `to_ode` the mean distance of samples to those of the ODE from the same noise.
    """

    measure: str
    evaluations: dict[str, float]
    ode: float
    floor: float | None
    errors: dict[str, float] = field(default_factory=dict)
    to_ode: dict[str, float] = field(default_factory=dict)
    ode_steps: int = ODE_STEPS


def _climb(name: str, measure: Measure, floor: Estimate | None = None) -> StepQuality:
    found = {str(steps): measure(steps, False) for steps in STEPS}
    ode = measure(ODE_STEPS, True)
    every = found | {"ode": ode} | ({} if floor is None else {"floor": floor})
    return StepQuality(
        name,
        {steps: estimate.value for steps, estimate in found.items()},
        ode.value,
        None if floor is None else floor.value,
        {k: e.standard_error for k, e in every.items() if e.standard_error is not None},
    )


def pairing_distance(a: Clouds, b: Clouds) -> Estimate:
    """Mean Chamfer distance of the pairs of two sets, paired so that it is smallest.

    The larger of two unequal sets is left with unpaired clouds. The standard error takes the pairs
    for independent.

    Raises:
        ValueError: if a set or a cloud is empty.
    """
    if not len(a) or not len(b):
        raise ValueError(f"expected two sets of clouds, got {len(a)} and {len(b)}")
    distances = pairwise_chamfer(a, b)
    return mean(distances[linear_sum_assignment(distances)])


def shape_quality(
    generator: Generator | PointGenerator,
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
        _evenly(np.flatnonzero(training.categories == category), count)
        for category, count in zip(*np.unique(categories, return_counts=True), strict=True)
    ]
    others = _clouds(training, np.concatenate(alike), symmetry, seed=1)
    noise = generator.noise(len(rows))
    drawn: dict[str, list[np.ndarray]] = {}

    def measure(steps: int, ode: bool) -> Estimate:
        samples: list[np.ndarray] = []
        for category in np.unique(categories):
            name = held_out.category_names[category]
            tokens = generator.sample_latents(
                noise[torch.from_numpy(categories == category)],
                steps=steps,
                category=name,
                ode=ode,
            )
            samples += _decode(generator, tokens, steps=steps, ode=ode)
        drawn["ode" if ode else str(steps)] = samples
        return pairing_distance(samples, reference)

    label = f"mean Chamfer distance of the best pairing with {len(rows)} held-out shapes"
    floor = pairing_distance(others, reference) if others else None
    quality = _climb(label, measure, floor)
    last = drawn.pop("ode")
    to_ode = {
        steps: float(np.mean([chamfer_distance(*pair) for pair in zip(clouds, last, strict=True)]))
        for steps, clouds in drawn.items()
    }
    return replace(quality, to_ode=to_ode)


def distribution_quality(
    model: GeometryDistribution, draw: Callable[[int, torch.Generator], Float[Tensor, "n c"]]
) -> StepQuality:
    """Points of a distribution against points of its surface."""
    generator = torch.Generator().manual_seed(0)
    reference, other = (draw(_SURFACE_POINTS, generator)[:, :3].double().numpy() for _ in range(2))

    def measure(steps: int, ode: bool) -> Estimate:
        points = model.sample(_SURFACE_POINTS, steps=steps, ode=ode)[:, :3]
        return Estimate(chamfer_distance(_finite(points.double().numpy()), reference))

    label = f"Chamfer distance of {_SURFACE_POINTS:,} points to the surface"
    return _climb(label, measure, Estimate(chamfer_distance(other, reference)))


def joint_quality(rigger: Rigger, held_out: FigureBank) -> StepQuality:
    """Joints of held-out figures against those that they have."""
    device = next(rigger.flow_map.parameters()).device

    def measure(steps: int, ode: bool) -> Estimate:
        def sampler(points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b k 3"]:
            return rigger.predict(points.to(device), steps=steps, ode=ode).cpu()

        clouds = predict_clouds(held_out, sampler, num_points=rigger.config.num_points)
        scores = score_clouds(rigger, held_out, clouds)
        return Estimate(scores["chamfer"], scores["chamfer_error"])

    return _climb(f"CD-J2J on {len(held_out)} held-out figures, %", measure)


def _decode(
    generator: Generator | PointGenerator, tokens: Tensor, *, steps: int, ode: bool
) -> list[Float[np.ndarray, "n 3"]]:
    if isinstance(generator, PointGenerator):
        points = generator.decode(tokens, _NUM_POINTS, steps=steps, ode=ode)
        return [_finite(cloud) for cloud in points.double().cpu().numpy()]
    meshes = [try_decode(generator, latent, _RESOLUTION) for latent in tokens]
    return [
        np.zeros((1, 3)) if mesh is None else surface_points(mesh, seed=i, num=_NUM_POINTS)
        for i, mesh in enumerate(meshes)
    ]


def _finite(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 3"]:
    """The points, or the origin: a map that is hardly trained may overflow, which ends no run."""
    return points if np.isfinite(points).all() else np.zeros((1, 3))


def _clouds(
    bank: ShapeBank | CloudBank, rows: np.ndarray, symmetry: Symmetry, *, seed: int
) -> list[np.ndarray]:
    """Surface points of shapes, in the poses that samples of a symmetry have."""
    drawn = bank.batch(
        rows,
        num_surface=_NUM_POINTS,
        num_queries=1,
        generator=torch.Generator().manual_seed(seed),
    )
    rng = np.random.default_rng(seed)
    clouds = list(drawn.surface.double().numpy())
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
