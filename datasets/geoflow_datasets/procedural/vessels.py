"""Mugs with handles, and bottles: lathe work with walls.

Lengths are in units of the body's height before normalisation; +Y up.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from geoflow.geometry.sdf import RoundCone, Solid
from geoflow_datasets.procedural.parts import lathe


def mug(rng: np.random.Generator) -> list[Solid]:
    """One random mug: an open body with a wall, and a handle of round links on +X."""
    foot, rim = rng.uniform(0.28, 0.45), rng.uniform(0.36, 0.52)
    belly = rng.uniform(0.98, 1.2) * (foot + rim) / 2
    wall, floor = rng.uniform(0.045, 0.07), rng.uniform(0.06, 0.12)
    middle = rng.uniform(0.35, 0.6)
    outer = [(0, 0), (foot, 0), (belly, middle), (rim, 1.0)]
    inner = [(rim - wall, 1.0), (belly - wall, middle), (foot - wall, floor), (0, floor)]
    solids: list[Solid] = [lathe(outer + inner)]
    low, high = rng.uniform(0.15, 0.3), rng.uniform(0.7, 0.88)
    reach, radius = rng.uniform(0.22, 0.36), rng.uniform(0.045, 0.065)

    def side(y: float) -> float:
        ends = (
            (foot, belly, y / middle) if y < middle else (belly, rim, (y - middle) / (1 - middle))
        )
        return ends[0] + (ends[1] - ends[0]) * ends[2] - wall / 2

    square = rng.uniform(0.55, 1.0)
    joints = []
    for angle in np.linspace(-np.pi / 2, np.pi / 2, 8):
        cos, sin = np.cos(angle), np.sin(angle)
        y = (low + high) / 2 + (high - low) / 2 * np.sign(sin) * abs(sin) ** square
        joints.append(np.array([side(float(y)) + reach * cos**square, y, 0.0]))
    solids += [RoundCone(a, b, radius, radius) for a, b in pairwise(joints)]
    return solids


def bottle(rng: np.random.Generator) -> list[Solid]:
    """One random bottle: body, shoulder, neck and cap, closed."""
    radius, neck = rng.uniform(0.14, 0.28), rng.uniform(0.05, 0.09)
    shoulder, throat = rng.uniform(0.45, 0.7), rng.uniform(0.74, 0.84)
    waist = rng.uniform(0.8, 1.0) if rng.random() < 0.4 else 1.0
    bend = np.linspace(0, 1, 7)[1:-1]
    slope = 0.5 - 0.5 * np.cos(np.pi * bend)
    curve = [
        (radius + (neck - radius) * s, shoulder + (throat - shoulder) * u)
        for u, s in zip(bend, slope, strict=True)
    ]
    profile = [(0, 0), (radius * 0.92, 0), (radius, 0.04), (radius * waist, shoulder * 0.5),
               (radius, shoulder * 0.96), (radius, shoulder), *curve, (neck, throat)]  # fmt: skip
    top = rng.uniform(0.92, 1.0)
    cap = neck * rng.uniform(1.15, 1.5)
    lip = top - rng.uniform(0.05, 0.12)
    profile += [(neck, lip), (cap, lip), (cap, top), (0, top)]
    return [lathe(profile)]
