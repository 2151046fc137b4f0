"""Assemblies: random solids of everything, in the sizes of real things.

A plan says how parts hang together (a stand, a case, a frame, a vessel, a plant …); what the parts
are is drawn for each. Bends, noise, cuts and proportions are drawn over all of it. No plan is a
category: their variety is what an encoder of many things learns from.

References: Xie et al., "LRM-Zero: Training large reconstruction models with synthesized data",
2024; Jiang et al., "MegaSynth: Scaling up 3D scene reconstruction with synthesized data", 2025.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geoflow_datasets.universe import plans
from geoflow_datasets.universe.forms import Solid
from geoflow_datasets.warps import WARPS

Plan = Callable[[np.random.Generator], Solid]
PLANS: dict[str, tuple[Plan, float]] = {
    "stand": (plans.stand, 0.16),
    "case": (plans.case, 0.2),
    "frame": (plans.frame, 0.1),
    "stack": (plans.stack, 0.1),
    "vessel": (plans.vessel, 0.09),
    "panel": (plans.panel, 0.14),
    "plant": (plans.plant, 0.05),
    "body": (plans.body, 0.07),
    "vehicle": (plans.vehicle, 0.05),
    "tool": (plans.tool, 0.05),
    "free": (plans.free, 0.1),
}
"""Plans with their shares."""
# Largest triangles' count of an assembly; a plan that makes more is drawn again.
_MOST_FACES, _TRIES = 40_000, 8
_BENT = ("taper", "shear", "twist", "bend", "waves")


def assembly(rng: np.random.Generator) -> Solid:
    """One random assembly.

    Raises:
        RuntimeError: if no plan gives a solid, which has not been seen.
    """
    names = list(PLANS)
    shares = np.array([share for _, share in PLANS.values()])
    for _ in range(_TRIES):
        plan, _ = PLANS[str(rng.choice(names, p=shares / shares.sum()))]
        made = finish(plan(rng), rng)
        if not made.is_empty() and 4 <= made.num_tri() < _MOST_FACES and made.volume() > 0:
            return made
    raise RuntimeError("no plan gave a solid")


def finish(solid: Solid, rng: np.random.Generator) -> Solid:
    """Proportions, and sometimes a bend, a twist, a taper, noise, or a turn."""
    if rng.random() < 0.18:
        solid = _warped(solid, rng)
    if rng.random() < 0.6:
        stretch = np.exp(rng.normal(0, 0.25, 3))
        if rng.random() < 0.6:  # Real things are flatter than their plans.
            stretch[rng.integers(3)] *= rng.uniform(0.2, 0.7)
        solid = solid.scale(tuple(stretch))
    if rng.random() < 0.12:
        solid = solid.rotate(tuple(90.0 * rng.integers(0, 4, 3)))
    elif rng.random() < 0.06:
        solid = solid.rotate(tuple(rng.uniform(-180, 180, 3)))
    return solid


def _warped(solid: Solid, rng: np.random.Generator) -> Solid:
    """A solid bent by one of the warps, its long edges split before."""
    box = np.asarray(solid.bounding_box())
    centre, half = (box[3:] + box[:3]) / 2, float((box[3:] - box[:3]).max()) / 2
    if not half > 0:
        return solid
    warp = WARPS[str(rng.choice(_BENT))](rng)
    fine = solid.refine_to_length(0.2 * half) if solid.num_tri() < 6000 else solid
    return fine.warp_batch(
        lambda points: warp((np.asarray(points) - centre) / half) * half + centre
    )
