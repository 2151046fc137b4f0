"""Airplanes and cars.

Lengths are in units of the body's length before normalisation; +Y up, noses along +Z.
"""

from __future__ import annotations

import numpy as np

from geoflow.geometry.sdf import Extrusion, RoundCone, Solid
from geoflow_datasets.procedural.parts import lathe, turn_x, turn_z

# Local x to world z, local y to world y, local z to world -x: profiles seen from the side.
_SIDE = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
# Local x to world x, local y to world z, local z to world -y: outlines seen from above.
_ABOVE = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def airplane(rng: np.random.Generator) -> list[Solid]:
    """One random airplane: fuselage, swept wings, tail, and engines or none."""
    radius = rng.uniform(0.05, 0.075)
    nose, tail = rng.uniform(0.12, 0.22), rng.uniform(0.25, 0.4)
    ease = np.linspace(0, np.pi / 2, 6)
    front = [(radius * np.cos(a), 0.5 - nose + nose * np.sin(a)) for a in ease]
    back = [(radius * (0.25 + 0.75 * np.sin(a)), -0.5 + tail * (1 - np.cos(a))) for a in ease]
    profile = [(0.0, -0.5), *back, *front[:-1], (0.0, 0.5)]
    solids: list[Solid] = [lathe(profile, rotation=turn_x(np.pi / 2))]
    span, root = rng.uniform(0.4, 0.55), rng.uniform(0.14, 0.22)
    tip, sweep = root * rng.uniform(0.3, 0.7), rng.uniform(0.0, 0.28)
    start, level = rng.uniform(0.0, 0.14), rng.uniform(-0.5, 0.3) * radius
    thick, rise = rng.uniform(0.006, 0.009), rng.uniform(0.0, 0.12)
    for side in (-1, 1):
        wing = [(0, start), (side * span, start - sweep),
                (side * span, start - sweep - tip), (0, start - root)]  # fmt: skip
        turn = turn_z(side * rise) @ _ABOVE
        solids.append(_panel([0, level, 0], wing, thick, turn))
    reach, chord = span * rng.uniform(0.32, 0.42), rng.uniform(0.08, 0.12)
    fin = rng.uniform(0.12, 0.19)
    t_tail = rng.random() < 0.3
    height = radius * 0.3 + (fin if t_tail else 0.0)
    shift = -0.05 if t_tail else 0.0
    lean = sweep * 0.4
    stabiliser = [(0, -0.36 + shift), (reach, -0.36 + shift - lean),
                  (reach, -0.36 + shift - lean - chord * 0.6), (0, -0.36 + shift - chord),
                  (-reach, -0.36 + shift - lean - chord * 0.6),
                  (-reach, -0.36 + shift - lean)]  # fmt: skip
    solids.append(_panel([0, height, 0], stabiliser, thick, _ABOVE))
    # The fin's outline is (z, y) seen from the side.
    outline = [(-0.3, 0), (-0.42, radius * 0.3 + fin + 0.01), (-0.5, radius * 0.3 + fin + 0.01),
               (-0.48, 0)]  # fmt: skip
    solids.append(_panel([0, 0, 0], outline, thick, _SIDE))
    engines = int(rng.choice([0, 1, 2]))
    size = radius * rng.uniform(0.45, 0.6)
    for i in range(engines):
        x = span * (0.32 + 0.3 * i)
        z = start - sweep * x / span - 0.3 * root
        y = level + np.sin(rise) * x - size * 0.9
        for side in (-1, 1):
            a, b = np.array([side * x, y, z + 0.07]), np.array([side * x, y, z - 0.05])
            solids.append(RoundCone(a, b, size, size * 0.75))
    return solids


def car(rng: np.random.Generator) -> list[Solid]:
    """One random car: a body of rounded profile, a cabin, four wheels."""
    half = rng.uniform(0.19, 0.23)
    floor, deck = rng.uniform(0.05, 0.08), rng.uniform(0.17, 0.22)
    roof = deck + rng.uniform(0.1, 0.15)
    nose, rear = deck - rng.uniform(0.01, 0.05), deck - rng.uniform(0.0, 0.03)
    r = 0.02
    body = [(-0.5 + r, floor), (0.5 - r, floor), (0.5 - r, nose - 0.02), (0.25, deck - r),
            (-0.35, deck - r), (-0.5 + r, rear - r)]  # fmt: skip
    depth = half - r
    solids: list[Solid] = [
        Extrusion(np.zeros(3), np.array(body), depth, r, _SIDE),
    ]
    kind = rng.choice(["sedan", "hatch", "van", "pickup"])
    front = rng.uniform(0.16, 0.24)
    back = {"sedan": -0.28, "hatch": -0.44, "van": -0.47, "pickup": -0.08}[str(kind)]
    rake = rng.uniform(0.08, 0.16)
    slope = {"sedan": 0.12, "hatch": 0.06, "van": 0.01, "pickup": 0.03}[str(kind)]
    roof += 0.05 if kind == "van" else 0.0
    cabin = [(back, deck - 2 * r), (front, deck - 2 * r), (front - rake, roof - r),
             (back + slope, roof - r)]  # fmt: skip
    solids.append(Extrusion(np.zeros(3), np.array(cabin), depth * 0.88, r, _SIDE))
    wheel, width = rng.uniform(0.075, 0.095), rng.uniform(0.03, 0.045)
    axles = (rng.uniform(0.28, 0.34), -rng.uniform(0.27, 0.33))
    for z in axles:
        for side in (-1, 1):
            profile = [(0, -width), (wheel, -width), (wheel, width), (0, width)]
            centre = [side * (half - width * 0.7), wheel, z]
            solids.append(lathe(profile, centre=centre, rotation=turn_z(np.pi / 2)))
    return solids


def _panel(
    centre: list[float], outline: list[tuple[float, float]], thick: float, turn: np.ndarray
) -> Extrusion:
    vertices = np.asarray(outline, dtype=float)
    return Extrusion(np.asarray(centre, dtype=float), vertices, thick, thick, turn)
