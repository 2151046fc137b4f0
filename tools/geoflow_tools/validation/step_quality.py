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
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from geoflow.geometry.metrics import Estimate, pairwise_chamfer
from geoflow.geometry.metrics.estimate import mean

STEPS = (1, 2, 4, 8)
ODE_STEPS = 50

Clouds = Sequence[Float[np.ndarray, "_ 3"]]
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


def climb(name: str, measure: Measure, floor: Estimate | None = None) -> StepQuality:
    """Measure at every number of evaluations, and for the ODE."""
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


def finite(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 3"]:
    """The points, or the origin: a map that is hardly trained may overflow, which ends no run."""
    return points if np.isfinite(points).all() else np.zeros((1, 3))
