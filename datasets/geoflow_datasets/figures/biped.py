"""Bipeds: people of all proportions, from long-legged to large-headed, standing to running.

Lengths are shares of the height before normalisation; +Y up, facing +Z.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from geoflow_datasets.figures.figure import Builder, Figure, turn

_UP, _DOWN = np.array([0.0, 1.0, 0.0]), np.array([0.0, -1.0, 0.0])


def biped(rng: np.random.Generator) -> Figure:
    """One random biped of 18 to 21 joints."""
    made, stout = Builder(), rng.uniform(0.75, 1.45)
    torso, hip = rng.uniform(0.26, 0.38), rng.uniform(0.05, 0.085)
    waist, chest = 0.075 * stout, rng.uniform(0.08, 0.1) * stout
    count = int(rng.integers(1, 4))
    bends = [turn("xyz", *rng.normal(0, [9, 8, 5])) for _ in range(count + 1)]
    names = ["pelvis", *(f"spine{i}" for i in range(count - 1)), "chest"]
    radii = [waist * 1.05, *[waist] * (count - 1), chest]
    top, pose = made.chain(
        names, -1, np.zeros(3), _UP, [torso / count] * count, radii, bends[:count]
    )
    _head(made, rng, top, pose, chest)
    _arms(made, rng, top, pose, chest, stout)
    _legs(made, rng, bends[0], hip, stout)
    return made.build()


def _head(
    made: Builder, rng: np.random.Generator, chest: int, pose: Rotation, radius: float
) -> None:
    size = rng.uniform(0.06, 0.13)
    neck = made.joint(
        "neck", chest, made.joints[chest] + pose.apply([0, radius + 0.035, 0]), 0.5 * size
    )
    pose = pose * turn("xyz", *rng.normal(0, [14, 18, 8]))
    base = made.joints[neck] + pose.apply([0, rng.uniform(0.03, 0.07) + 0.4 * size, 0])
    head = made.joint("head", neck, base, 0.62 * size)
    made.flesh(base, base + pose.apply([0, 0.75 * size, 0.25 * size]), 0.62 * size, size)
    if rng.random() < 0.5:  # A nose or a muzzle tells the front.
        tip = base + pose.apply([0, 0.55 * size, (1.2 + rng.uniform(0, 0.7)) * size])
        made.flesh(made.joints[head] + pose.apply([0, 0.5 * size, 0]), tip, 0.5 * size, 0.2 * size)


def _arms(
    made: Builder,
    rng: np.random.Generator,
    chest: int,
    pose: Rotation,
    radius: float,
    stout: float,
) -> None:
    upper, lower = rng.uniform(0.13, 0.2), rng.uniform(0.12, 0.2)
    thick = rng.uniform(0.026, 0.04) * stout**0.7
    width, palm = radius + rng.uniform(0.02, 0.06), rng.uniform(0.035, 0.06)
    raised = rng.choice([rng.uniform(5, 35), rng.uniform(35, 95)])
    for side, name in ((1, "left"), (-1, "right")):
        start = made.joints[chest] + pose.apply([side * width, 0.25 * radius, 0])
        lift = raised + rng.normal(0, 14)
        swing, bend = rng.normal(0, 28), abs(rng.normal(0, 42))
        turns = [
            pose * turn("zx", side * lift, -swing),
            turn("yx", rng.uniform(-40, 40), -bend),
        ]
        joints = [f"{name} shoulder", f"{name} elbow", f"{name} wrist"]
        radii = [1.25 * thick, thick, 0.8 * thick]
        last, end = made.chain(joints, chest, start, _DOWN, [upper, lower], radii, turns)
        wrist = made.joints[last]
        made.flesh(wrist, wrist + palm * end.apply(_DOWN), 0.8 * thick, 0.6 * palm)


def _legs(
    made: Builder, rng: np.random.Generator, pose: Rotation, width: float, stout: float
) -> None:
    upper, lower = rng.uniform(0.16, 0.29), rng.uniform(0.16, 0.27)
    thick, foot = rng.uniform(0.038, 0.052) * stout**0.7, rng.uniform(0.07, 0.12)
    stride = rng.choice([8.0, 35.0])
    for side, name in ((1, "left"), (-1, "right")):
        start = made.joints[0] + pose.apply([side * width, -0.5 * made.radii[0], 0])
        swing, bend = rng.normal(5, stride), abs(rng.normal(0, 1.2 * stride))
        turns = [
            pose * turn("zx", side * rng.uniform(0, 16), -swing),
            turn("x", bend),
            turn("xy", -90 + rng.normal(0, 10), side * rng.uniform(0, 20)),
        ]
        joints = [f"{name} hip", f"{name} knee", f"{name} ankle", f"{name} toe"]
        radii = [1.2 * thick, 0.85 * thick, 0.7 * thick, 0.6 * thick]
        made.chain(joints, 0, start, _DOWN, [upper, lower, foot], radii, turns)
