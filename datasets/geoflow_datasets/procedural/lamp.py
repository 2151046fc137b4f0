"""Lamps: table and floor lamps, straight or bent arms; cone, drum, dome or globe shades.

Lengths are metres before normalisation; +Y up.
"""

from __future__ import annotations

import numpy as np

from geoflow.geometry.sdf import RoundCone, Solid
from geoflow_datasets.procedural.parts import lathe, turn_z


def lamp(rng: np.random.Generator) -> list[Solid]:
    """One random lamp."""
    tall = rng.random() < 0.4
    height = rng.uniform(1.2, 1.6) if tall else rng.uniform(0.35, 0.6)
    unit = height * (0.5 if tall else 1.0)
    stem = unit * rng.uniform(0.03, 0.045)
    base, low = unit * rng.uniform(0.2, 0.3), unit * rng.uniform(0.05, 0.09)
    if rng.random() < 0.4 and not tall:  # A turned vase for a base.
        belly = unit * rng.uniform(0.14, 0.22)
        profile = [(0, 0), (belly * 0.7, 0), (belly, 0.22 * height), (belly * 0.85, 0.36 * height),
                   (stem * 1.3, 0.5 * height), (0, 0.5 * height)]  # fmt: skip
    else:
        profile = [(0, 0), (base, 0), (base, low * 0.6), (stem * 1.5, low), (0, low)]
    solids: list[Solid] = [lathe(profile)]
    top = np.array([0.0, height, 0.0])
    head = np.array([0.0, height * 0.98, 0.0])
    turn = np.eye(3)
    if rng.random() < 0.3:  # An arm with two links.
        elbow = np.array([-unit * rng.uniform(0.1, 0.25), height * rng.uniform(0.5, 0.65), 0.0])
        head = np.array([unit * rng.uniform(0.15, 0.35), height * rng.uniform(0.85, 1.0), 0.0])
        solids += [
            RoundCone(np.array([0, low / 2, 0]), elbow, stem, stem),
            RoundCone(elbow, head, stem, stem),
        ]
        turn = turn_z(rng.uniform(0.0, 0.7))
    else:
        solids.append(RoundCone(np.array([0, low / 2, 0]), top, stem, stem * 0.9))
    r0, r1 = unit * rng.uniform(0.22, 0.36), unit * rng.uniform(0.12, 0.22)
    drop, wall = unit * rng.uniform(0.25, 0.4), unit * 0.028
    kind = rng.choice(["cone", "drum", "dome", "globe"])
    if kind == "globe":
        angle = np.linspace(-np.pi / 2, np.pi / 2, 16)
        r = r0 * 0.75
        shade = [(max(r * np.cos(a), 0.0), r * np.sin(a) - 0.2 * r) for a in angle]
        solids.append(lathe(shade, centre=head, rotation=turn))
        return solids
    if kind == "dome":
        angle = np.linspace(0.0, np.pi / 2, 10)
        outer = [(r0 * np.cos(a), drop * (np.sin(a) - 1) + wall) for a in angle]
        inner = [
            ((r0 - 2 * wall) * np.cos(a), (drop - wall) * np.sin(a) - drop) for a in angle[::-1]
        ]
        outer[-1] = (0.0, wall)
        inner[0] = (0.0, -2 * wall)
        solids.append(lathe([*inner, *outer][::-1], centre=head, rotation=turn))
        return solids
    upper = r0 if kind == "drum" else r1
    # A cap joins the wall to the stem, so that the lamp is one solid.
    shade = [(0, wall), (upper, wall), (r0, -drop), (r0 - 2 * wall, -drop),
             (upper - 2 * wall, -wall), (0, -wall)]  # fmt: skip
    solids.append(lathe(shade, centre=head, rotation=turn))
    return solids
