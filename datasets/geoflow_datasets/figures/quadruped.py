"""Quadrupeds: from short-legged to long-necked, standing to galloping, most with a tail.

Lengths are shares of about the body's length before normalisation; +Y up, facing +Z.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from geoflow_datasets.figures.figure import Builder, Figure, turn

_FRONT, _DOWN = np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])


def quadruped(rng: np.random.Generator) -> Figure:
    """One random quadruped of 22 to 28 joints."""
    made, stout = Builder(), rng.uniform(0.7, 1.3)
    length, count = rng.uniform(0.45, 0.75), int(rng.integers(2, 4))
    rear, chest = rng.uniform(0.085, 0.12) * stout, rng.uniform(0.1, 0.14) * stout
    names = ["pelvis", *(f"spine{i}" for i in range(count - 1)), "chest"]
    radii = list(np.linspace(rear, chest, count + 1))
    turns = [turn("xyz", *rng.normal(0, [7, 8, 4])) for _ in range(count)]
    front, pose = made.chain(names, -1, np.zeros(3), _FRONT, [length / count] * count, radii, turns)
    _head(made, rng, front, pose, stout)
    leg = rng.uniform(0.3, 0.75)
    for where, joint, stands in (("fore", front, pose), ("hind", 0, turns[0])):
        _legs(made, rng, where, joint, stands, leg * rng.uniform(0.9, 1.1), stout)
    _tail(made, rng, turns[0], rear)
    return made.build()


def _head(
    made: Builder, rng: np.random.Generator, chest: int, pose: Rotation, stout: float
) -> None:
    neck, size = rng.uniform(0.12, 0.42), rng.uniform(0.05, 0.085)
    thick, count = rng.uniform(0.05, 0.075) * stout, 2 if neck > 0.24 else 1
    start = made.joints[chest] + pose.apply([0, 0.4, 0.75]) * made.radii[chest]
    names = ["neck", *(f"neck{i}" for i in range(1, count)), "head"]
    turns = [pose * turn("xy", -rng.uniform(10, 75), rng.normal(0, 14))]
    turns += [turn("xy", *rng.normal(0, [12, 10])) for _ in range(count - 1)]
    radii = [thick, *[0.9 * thick] * (count - 1), size]
    head, pose = made.chain(names, chest, start, _FRONT, [neck / count] * count, radii, turns)
    pose = pose * turn("xy", rng.uniform(10, 60), rng.normal(0, 10))
    base, snout = made.joints[head], size * rng.uniform(1.4, 3.2)
    made.flesh(base, base + pose.apply([0, 0, snout]), size, size * rng.uniform(0.4, 0.7))
    if rng.random() < 0.7:
        tall = size * rng.uniform(1.2, 2.6)
        for side in (-1, 1):
            root = base + pose.apply([0.55 * side * size, 0.5 * size, 0])
            tip = root + pose.apply([0.3 * side * tall, tall, -0.3 * tall])
            made.flesh(root, tip, 0.35 * size, 0.15 * size)


def _legs(
    made: Builder,
    rng: np.random.Generator,
    where: str,
    parent: int,
    pose: Rotation,
    length: float,
    stout: float,
) -> None:
    shares = np.array([rng.uniform(0.9, 1.2), rng.uniform(0.9, 1.2), 0.5]) / 2.6
    radius = made.radii[parent]
    width, thick = radius * rng.uniform(0.55, 0.85), rng.uniform(0.03, 0.045) * stout**0.7
    stride, crouch = rng.choice([6.0, 25.0]), rng.uniform(5, 35)
    # The hind knee points forward, the fore elbow back.
    sign = 1.0 if where == "hind" else -1.0
    for side, name in ((1, "left"), (-1, "right")):
        start = made.joints[parent] + pose.apply([side * width, -0.35 * radius, 0])
        bend = crouch + abs(rng.normal(0, stride))
        turns = [
            pose * turn("zx", side * rng.uniform(0, 14), rng.normal(0, stride) - sign * crouch),
            turn("x", sign * bend),
            turn("x", -sign * rng.uniform(0, 0.9) * bend),
        ]
        joints = [f"{name} {where} {part}" for part in ("hip", "knee", "ankle", "paw")]
        radii = [1.5 * thick, thick, 0.75 * thick, 0.8 * thick]
        made.chain(joints, parent, start, _DOWN, list(length * shares), radii, turns)


def _tail(made: Builder, rng: np.random.Generator, pose: Rotation, radius: float) -> None:
    count = int(rng.choice([0, 2, 3, 4], p=[0.15, 0.25, 0.3, 0.3]))
    if count == 0:
        return
    length, thick = rng.uniform(0.18, 0.5), rng.uniform(0.022, 0.04)
    start = made.joints[0] + pose.apply([0, 0.35, -0.85]) * radius
    turns = [pose * turn("xy", rng.uniform(-50, 60), rng.normal(0, 18))]
    turns += [turn("xy", *rng.normal(0, [16, 16])) for _ in range(count - 1)]
    radii = list(thick * np.linspace(1.0, 0.6, count))
    names = [f"tail{i}" for i in range(count)]
    made.chain(names, 0, start, -_FRONT, [length / count] * (count - 1), radii, turns)
    end, before = made.joints[-1], made.joints[-2]
    made.flesh(end, end + 0.8 * (end - before), radii[-1], 0.6 * radii[-1])
