"""Things that grow and walk: plants and bodies."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.details import Rng, leaf, lump
from geoflow_datasets.universe.forms import Solid, ball, both_sides, curve, join, lathe, tube
from geoflow_datasets.universe.plans.turned import hollow


def plant(rng: Rng) -> Solid:
    """A stem or trunk that forks, with leaves, balls or cones, in a pot or none."""
    parts, tips = [], []
    height, size = rng.uniform(0.3, 1.2), rng.uniform(0.02, 0.06)
    bend = rng.normal(0, 0.12, (3, 3)) * [1, 0, 1]
    spine = np.array([[0, 0, 0], [0, 0.4, 0], [0, 0.7, 0], [0, 1, 0]]) * height
    spine[1:] += bend
    parts.append(tube(spine, size, tip=0.5))
    tips.append(spine[-1])
    for _ in range(int(rng.integers(0, 9))):
        foot = curve(spine, 20)[int(rng.integers(6, 20))]
        way = rng.normal(size=3) * [1, 0.4, 1] + [0, 0.5, 0]
        end = foot + way / np.linalg.norm(way) * rng.uniform(0.2, 0.6)
        parts.append(tube([foot, (foot + end) / 2 + [0, 0.05, 0], end], 0.6 * size, num=8, tip=0.6))
        tips.append(end)
    kind = rng.choice(["leaves", "balls", "cones", "bare"], p=[0.45, 0.3, 0.15, 0.1])
    if kind == "leaves":
        num = int(rng.integers(6, 26))
        length, width = rng.uniform(0.2, 0.7), rng.uniform(0.04, 0.16)
        for i in range(num):
            one = leaf(rng, length * rng.uniform(0.6, 1), width, rng.uniform(0.018, 0.025))
            one = one.rotate((rng.uniform(-70, 10), 137.5 * i, 0))
            parts.append(one.translate(tuple(tips[i % len(tips)])))
    elif kind == "balls":
        for tip in tips:
            half = rng.uniform(0.1, 0.35) * rng.uniform(0.8, 1.2, 3)
            parts.append(ball(half).translate(tuple(tip)))
    elif kind == "cones":
        num = int(rng.integers(1, 5))
        for i in range(num):
            width, low = 0.5 * (1 - 0.6 * i / num), height * (0.3 + 0.7 * i / num)
            parts.append(lathe(np.array([[width, low], [0.02, low + 0.5]]), segments=12))
    if rng.random() < 0.5:
        pot = hollow(rng, rng.uniform(0.15, 0.4), 0.35, 0.03, floor=True)
        soil = lathe(np.array([[0.1, 0.02], [0.1, 0.25]]))
        parts += [pot.translate((0, -0.25, 0)), soil.translate((0, -0.25, 0))]
    return join(parts)


def body(rng: Rng) -> Solid:
    """A trunk with limbs and a head: people, animals, toys."""
    half = np.exp(rng.uniform(np.log(0.15), np.log(0.5), 3))
    parts = [ball(half, powers=(rng.uniform(0.4, 1.1), rng.uniform(0.4, 1.1)))]
    tip = np.array([0, half[1] * rng.uniform(0.3, 1.0), half[2] * rng.uniform(-0.2, 1.0)])
    head = rng.uniform(0.1, 0.3)
    neck = tip + np.array([0, rng.uniform(0.05, 0.4), rng.uniform(-0.1, 0.3)])
    parts += [
        tube([tip * 0.5, tip, neck], rng.uniform(0.04, 0.15)),
        ball(head * rng.uniform(0.7, 1.3, 3)).translate(tuple(neck)),
    ]
    if rng.random() < 0.5:
        ear = lump(rng, np.array([0.3, 0.5, 0.2]) * head).translate(
            (0.6 * head, neck[1] + head, neck[2])
        )
        parts.append(both_sides(ear))
    for _ in range(int(rng.integers(1, 4))):
        start = half * [0.7, rng.uniform(-0.7, 0.6), rng.uniform(-0.8, 0.8)]
        way = np.array([rng.uniform(0, 1.0), rng.uniform(-1.2, 0.4), rng.uniform(-0.4, 0.6)])
        knee = start + 0.5 * way * rng.uniform(0.4, 0.9)
        end = knee + 0.5 * np.array([0.2 * way[0], way[1], rng.normal(0, 0.3)])
        size = rng.uniform(0.04, 0.14)
        limb = tube([start * 0.5, start, knee, end], size, num=14, tip=rng.uniform(0.4, 0.9))
        foot = ball(size * np.array([0.9, rng.uniform(0.5, 1.0), rng.uniform(0.9, 2.0)])).translate(
            tuple(end)
        )
        parts.append(both_sides(join([limb, foot])))
    if rng.random() < 0.3:
        rear = np.array([0, 0, -half[2] * 0.8])
        parts.append(
            tube(
                rear + np.array([[0, 0, 0], [0, 0.1, -0.2], [0, rng.uniform(-0.2, 0.4), -0.4]]),
                0.05,
                tip=0.5,
            )
        )
    return join(parts)
