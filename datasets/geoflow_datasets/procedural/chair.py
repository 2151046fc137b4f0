"""Chairs: four, three, pedestal, star and sled legs; solid, ladder, spindle and splat backs; arms.

Lengths are metres before normalisation; +Y up, the sitter looks along +Z.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from geoflow.geometry.sdf import Extrusion, RoundBox, RoundCone, Solid
from geoflow_datasets.procedural.parts import bar, box, lathe, turn_x

LEGS = ("four", "three", "pedestal", "star", "sled")
LEG_SHARES = (0.52, 0.08, 0.12, 0.14, 0.14)
BACKS = ("solid", "ladder", "spindle", "splat")
BACK_SHARES = (0.4, 0.22, 0.2, 0.18)


def chair(rng: np.random.Generator) -> list[Solid]:
    """One random chair."""
    width, depth = rng.uniform(0.40, 0.60), rng.uniform(0.40, 0.56)
    height, thick = rng.uniform(0.38, 0.50), rng.uniform(0.045, 0.10)
    # The seat's faces: `under` where legs end, `over` where the sitter sits.
    under, over = height - thick, height
    solids = _seat(rng, width, depth, under, over)
    solids += _legs(rng, width, depth, under)
    tilt = rng.uniform(0.0, 0.24)
    rise = rng.uniform(0.34, 0.60)
    solids += _back(rng, width, depth, over, thick, rise, tilt)
    if rng.random() < 0.4:
        solids += _arms(rng, width, depth, over, thick, tilt)
    return solids


def _seat(
    rng: np.random.Generator, width: float, depth: float, under: float, over: float
) -> list[Solid]:
    middle, half = (under + over) / 2, (over - under) / 2
    radius = rng.uniform(0.15, 0.95) * half
    kind = rng.choice(3, p=[0.6, 0.2, 0.2])
    if kind == 0:
        return [RoundBox(np.array([0, middle, 0]), np.array([width / 2, half, depth / 2]), radius)]
    flat = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    if kind == 1:  # A trapezoid, narrower at the back.
        back = rng.uniform(0.78, 0.95) * width / 2 - radius
        front, reach = width / 2 - radius, depth / 2 - radius
        # The local frame maps y to -z of the world, so the front is at negative y.
        outline = np.array([[-back, reach], [back, reach], [front, -reach], [-front, -reach]])
    else:  # A superellipse between a round and a square seat.
        turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        power = rng.uniform(0.5, 1.0)
        cos, sin = np.cos(turn), np.sin(turn)
        outline = np.column_stack(
            [
                (width / 2 - radius) * np.sign(cos) * np.abs(cos) ** power,
                (depth / 2 - radius) * np.sign(sin) * np.abs(sin) ** power,
            ]
        )
    return [Extrusion(np.array([0, middle, 0]), outline, half - radius, radius, flat.T)]


def _legs(rng: np.random.Generator, width: float, depth: float, under: float) -> list[Solid]:
    kind = rng.choice(LEGS, p=LEG_SHARES)
    top, tip = rng.uniform(0.024, 0.036), rng.uniform(0.020, 0.027)
    x, z = width / 2 - 0.045, depth / 2 - 0.045
    if kind in ("four", "three"):
        return _straight_legs(rng, kind == "four", under, (x, z), (top, tip))
    if kind == "pedestal":
        reach = rng.uniform(0.36, 0.5) * min(width, depth)
        column, flare = rng.uniform(0.028, 0.045), rng.uniform(0.025, 0.045)
        profile = [
            (0, 0), (reach, 0), (reach, flare * 0.6), (column * 1.4, flare * 1.8),
            (column, 0.3 * under), (column, 0.8 * under), (column * 2.2, under + 0.01),
            (0, under + 0.01),
        ]  # fmt: skip
        return [lathe(profile)]
    if kind == "star":
        spokes = int(rng.choice([4, 5]))
        reach, arm = rng.uniform(0.24, 0.32), rng.uniform(0.02, 0.028)
        column, hub = rng.uniform(0.028, 0.04), rng.uniform(0.07, 0.12)
        turn = np.pi / 2 if spokes == 5 else np.pi / 4
        solids: list[Solid] = [
            RoundCone(np.array([0, hub, 0]), np.array([0, under, 0]), column, column),
        ]
        for angle in turn + 2 * np.pi * np.arange(spokes) / spokes:
            foot = np.array([reach * np.cos(angle), arm, reach * np.sin(angle)])
            solids.append(RoundCone(np.array([0, hub, 0]), foot, arm * 1.25, arm))
        return solids
    # Sled: a closed loop of bars on each side.
    radius = rng.uniform(0.020, 0.028)
    x, front, rear = width / 2 - 0.05, depth / 2 - 0.05, -(depth / 2 - 0.05)
    lean = rng.uniform(-0.06, 0.08)
    solids = []
    for side in (-x, x):
        joints = [
            np.array([side, under + 0.005, front]), np.array([side, radius, front + lean]),
            np.array([side, radius, rear - abs(lean)]), np.array([side, under + 0.005, rear]),
        ]  # fmt: skip
        solids += [RoundCone(a, b, radius, radius) for a, b in pairwise(joints)]
    if rng.random() < 0.5:
        solids.append(
            RoundCone(np.array([-x, radius, rear]), np.array([x, radius, rear]), radius, radius)
        )
    return solids


def _straight_legs(
    rng: np.random.Generator,
    has_four: bool,
    under: float,
    reach: tuple[float, float],
    radii: tuple[float, float],
) -> list[Solid]:
    """Four legs, or three, splayed or not, round or square, perhaps with a stretcher."""
    (x, z), (top, tip) = reach, radii
    splay = rng.uniform(0.0, 0.14) if rng.random() < 0.7 else 0.0
    square = rng.random() < 0.35
    inset = rng.uniform(0.72, 0.9)
    feet = [(-x, z), (x, z), *([(x, -z), (-x, -z)] if has_four else [(0.0, -z)])]
    joints = [np.array([inset * px, under + 0.01, inset * pz]) for px, pz in feet]
    tips = [
        np.array([j[0] * (1 + splay) / inset * 0.95, tip, j[2] * (1 + splay) / inset * 0.95])
        for j in joints
    ]
    solids: list[Solid] = []
    for joint, foot in zip(joints, tips, strict=True):
        solids.append(bar(joint, foot, top) if square else RoundCone(joint, foot, top, tip))
    if has_four and rng.random() < 0.35:
        level = rng.uniform(0.25, 0.55)
        points = [j + (f - j) * level for j, f in zip(joints, tips, strict=True)]
        rail = rng.uniform(0.018, 0.022)
        left, right = (points[0] + points[3]) / 2, (points[1] + points[2]) / 2
        solids += [
            RoundCone(points[0], points[3], rail, rail),
            RoundCone(points[1], points[2], rail, rail),
            RoundCone(left, right, rail, rail),
        ]
    return solids


def _back(
    rng: np.random.Generator,
    width: float,
    depth: float,
    over: float,
    thick: float,
    rise: float,
    tilt: float,
) -> list[Solid]:
    kind = rng.choice(BACKS, p=BACK_SHARES)
    half = rng.uniform(0.021, 0.036)
    lean = turn_x(-tilt)
    hinge = np.array([0.0, over - thick / 2, -(depth / 2 - half - 0.012)])

    def at(x: float, y: float) -> np.ndarray:
        """A point of the leaning back plane, y along it from the hinge."""
        return hinge + lean @ np.array([x, y, 0.0])

    length = rise + thick / 2
    x = width / 2 * rng.uniform(0.78, 0.98) - half
    if kind == "solid":
        return _panel_back(rng, hinge, lean, (x, length, half), rise, thick)
    post = rng.uniform(0.022, 0.029)
    flare = rng.uniform(0.92, 1.08)
    solids: list[Solid] = [
        RoundCone(at(s * x, 0.0), at(s * x * flare, length), post, post * 0.9) for s in (-1, 1)
    ]
    rail = rng.uniform(0.03, 0.055)
    crest = RoundBox(
        at(0.0, length - rail * 0.5),
        np.array([x * flare + post * 0.5, rail, post]),
        post * 0.9,
        lean,
    )
    if kind == "ladder":
        count = int(rng.integers(2, 5))
        slat = min(rail * 0.8, 0.36 * rise / count)
        levels = np.linspace(thick / 2 + 0.16 * rise + slat, length - slat, count)
        for y in levels:
            across = x * (1 + (flare - 1) * y / length)
            size = np.array([across, slat, post * 0.75])
            solids.append(RoundBox(at(0.0, float(y)), size, post * 0.6, lean))
        return solids
    solids.append(crest)
    if kind == "spindle":
        count = int(rng.integers(2, 6))
        radius = rng.uniform(0.018, 0.022)
        for u in np.linspace(-1, 1, count + 2)[1:-1]:
            solids.append(RoundCone(at(u * x, 0.0), at(u * x * flare, length), radius, radius))
        return solids
    board = rng.uniform(0.2, 0.45) * x
    size = np.array([board, length / 2, post * 0.75])
    solids.append(RoundBox(at(0.0, length / 2), size, post * 0.6, lean))
    return solids


def _panel_back(
    rng: np.random.Generator,
    hinge: np.ndarray,
    lean: np.ndarray,
    size: tuple[float, float, float],
    rise: float,
    thick: float,
) -> list[Solid]:
    """One panel of half width, length and half thickness `size`, on the seat or above a gap."""
    x, length, half = size
    gap = rng.uniform(0.1, 0.3) * rise if rng.random() < 0.3 else 0.0
    top = x * rng.uniform(0.75, 1.0)
    radius = rng.uniform(0.2, 0.95) * half
    bottom = 0.0 if gap == 0 else thick / 2 + gap
    outline = np.array([[-x, bottom], [x, bottom], [top, length], [-top, length]])
    inner = radius * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    panel = Extrusion(hinge, outline + inner, half - radius, radius, lean)
    if gap == 0:
        return [panel]
    thin = half * 0.8
    posts: list[Solid] = []
    for side in (-0.6 * x, 0.6 * x):
        foot, end = (hinge + lean @ np.array([side, y, 0.0]) for y in (0.0, bottom + 0.03))
        posts.append(RoundCone(foot, end, thin, thin))
    return [panel, *posts]


def _arms(
    rng: np.random.Generator,
    width: float,
    depth: float,
    over: float,
    thick: float,
    tilt: float,
) -> list[Solid]:
    level = over + rng.uniform(0.16, 0.24)
    half = rng.uniform(0.02, 0.032)
    x = width / 2 - half * 0.5
    rear, front = -depth / 2 - 0.2 * tilt, depth / 2 * rng.uniform(0.5, 0.9)
    solids: list[Solid] = []
    if rng.random() < 0.35:  # Solid sides, as on an armchair.
        size = np.array([half, (level - over + thick) / 2, (front - rear) / 2])
        middle = np.array([0, (level + over - thick) / 2, (front + rear) / 2])
        for side in (-x, x):
            solids.append(
                RoundBox(middle + np.array([side, 0, 0]), size, half * rng.uniform(0.3, 0.95))
            )
        return solids
    post = rng.uniform(0.020, 0.026)
    size = np.array([half, rng.uniform(0.021, 0.027), (front - rear) / 2])
    for side in (-x, x):
        solids.append(box([side, level, (front + rear) / 2], list(size), size[1] * 0.9))
        solids.append(
            RoundCone(
                np.array([side * 0.98, over - thick / 2, front - 0.05]),
                np.array([side, level, front - 0.04]),
                post,
                post,
            )
        )
    return solids
