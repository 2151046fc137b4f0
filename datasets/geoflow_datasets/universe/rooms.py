"""Tables, cabinets and shelves.

Lengths are metres before normalisation; fronts look along +Z.
"""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.details import Rng, drawers, handle, leg, lump, turned
from geoflow_datasets.universe.forms import (
    Solid,
    around,
    block,
    both_sides,
    curve,
    cut,
    join,
    plate,
    ring,
    row,
    sweep,
)


def table(rng: Rng) -> Solid:
    """A top on legs, panels, a column, a star, loops or crosses; with rails, shelf or drawers."""
    x, z, height = rng.uniform(0.25, 0.95), rng.uniform(0.25, 0.5), rng.uniform(0.3, 0.95)
    board = rng.uniform(0.02, 0.07)
    is_round = rng.random() < 0.3
    if is_round:
        x = z = rng.uniform(0.25, 0.6)
        flat = ring(36) * [x, z * rng.choice([1.0, rng.uniform(0.5, 1.0)])]
    else:
        flat = ring(28, rng.uniform(0.3, 0.6)) * [x, z]
    if is_round or rng.random() < 0.2:
        top = plate(flat, board).rotate((90, 0, 0))
    else:
        top = block((x, board / 2, z), rng.choice([0.0, 0.4, 0.95]) * board / 2)
    under = height - 0.4 * board
    kind = "column" if is_round and rng.random() < 0.5 else rng.choice(
        ["legs", "panels", "column", "star", "loops", "cross"], p=[0.5, 0.12, 0.08, 0.1, 0.1, 0.1]
    )  # fmt: skip
    inset = 0.65 if is_round else 1.0
    parts = [top.translate((0, height, 0)), _STANDS[kind](rng, inset * x, inset * z, under)]
    if not is_round and kind in ("legs", "panels"):
        if rng.random() < 0.45:  # An apron, which may hold drawers.
            deep = rng.uniform(0.04, 0.16)
            inset = rng.uniform(0.86, 0.96)
            apron = block((inset * x, deep / 2, inset * z)).translate((0, under - deep / 2, 0))
            hole = block((inset * x - 0.03, deep, inset * z - 0.03))
            solid = rng.random() < 0.4
            parts.append(apron if solid else cut(apron, hole.translate((0, under - deep, 0))))
            if solid:
                num = int(rng.integers(1, 4))
                front = drawers(rng, 0.9 * inset * x / num, 0.45 * deep, 0.0, 1)
                parts.append(row(front, num, (2 * inset * x / num, 0, 0))
                             .translate((0, under - deep / 2, inset * z - 0.004)))  # fmt: skip
        if rng.random() < 0.25:
            level = rng.uniform(0.12, 0.5) * height
            parts.append(block((0.94 * x, board / 3, 0.94 * z)).translate((0, level, 0)))
        if rng.random() < 0.25:  # A desk's pedestal.
            chest = rng.uniform(0.4, 0.9) * under
            size = (0.25 * x, chest / 2, 0.85 * z)
            body = block(size).translate((0, 0, 0))
            front = drawers(rng, size[0], size[1], 0.0, int(rng.integers(1, 5)))
            body = join([body, front.translate((0, 0, size[2] - 0.004))])
            parts.append(body.translate((0.7 * x, under - chest / 2, 0)))
    return join(parts)


def cabinet(rng: Rng) -> Solid:
    """A box with doors, drawers, open fields, plinth, feet, cornice or things on it."""
    x, y, z = rng.uniform(0.2, 0.9), rng.uniform(0.2, 1.1), rng.uniform(0.15, 0.35)
    wall = rng.uniform(0.015, 0.04)
    parts = [block((x, y, z), rng.choice([0.0, 0.0, 0.05]))]
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    wide, tall = x / columns, y / rows
    for i in range(columns):
        for j in range(rows):
            place = ((2 * i + 1) * wide - x, (2 * j + 1) * tall - y, z - 0.003)
            kind = rng.choice(["door", "drawers", "open", "glass"], p=[0.4, 0.3, 0.18, 0.12])
            if kind == "open":
                hole = block((wide - wall, tall - wall, z - wall))
                parts = [cut(join(parts), hole.translate((place[0], place[1], 2 * wall)))]
                continue
            if kind == "drawers":
                front = drawers(rng, 0.97 * wide, 0.97 * tall, 0.0, int(rng.integers(1, 5)))
            else:
                front = _door(rng, 0.96 * wide, 0.97 * tall, glass=kind == "glass")
            parts.append(front.translate(place))
    solid = join(parts)
    extra = []
    if rng.random() < 0.4:
        lip = rng.uniform(0.01, 0.05)
        extra.append(block((x + lip, 0.02, z + lip)).translate((0, y + 0.015, 0)))
    foot = rng.integers(3)
    if foot == 0:
        extra.append(block((0.94 * x, 0.04, 0.9 * z)).translate((0, -y - 0.03, -0.02)))
    elif foot == 1:
        low = rng.uniform(0.05, 0.35)
        start = np.array([0.88 * x, -y + 0.01, 0.85 * z])
        one = leg(rng, start, start * [1, 1, 1] - [0, low, 0], rng.uniform(0.015, 0.035))
        extra.append(both_sides(both_sides(one), 2))
    if rng.random() < 0.2:
        extra.append(block((x, rng.uniform(0.05, 0.3), 0.015)).translate((0, y, -z + 0.015)))
    return join([solid, *extra])


def shelf(rng: Rng) -> Solid:
    """Boards on sides, posts or a wall, level or as a ladder, with dividers, backs and things."""
    x, y, z = rng.uniform(0.25, 0.9), rng.uniform(0.25, 1.1), rng.uniform(0.1, 0.25)
    board, num = rng.uniform(0.015, 0.04), int(rng.integers(2, 8))
    levels = np.linspace(-y + board, y - board, num)
    parts = [block((x, board / 2, z)).translate((0, level, 0)) for level in levels]
    kind = rng.choice(["sides", "posts", "ladder", "middle"], p=[0.5, 0.25, 0.13, 0.12])
    if kind == "sides":
        parts.append(both_sides(block((board / 2, y, z)).translate((x - board / 2, 0, 0))))
        for i in range(num - 1):
            for _ in range(int(rng.integers(0, 3))):
                middle, gap = (levels[i] + levels[i + 1]) / 2, (levels[i + 1] - levels[i]) / 2
                parts.append(block((board / 2, gap, z))
                             .translate((rng.uniform(-0.8, 0.8) * x, middle, 0)))  # fmt: skip
    elif kind == "posts":
        high = np.array([0.95 * x, y + rng.uniform(0, 0.1), 0.9 * z])
        low = np.array([0.95 * x, -y - rng.uniform(0, 0.15), 0.9 * z])
        post = leg(rng, high, low, rng.uniform(0.01, 0.025), style=int(rng.integers(4)))
        parts.append(both_sides(both_sides(post), 2))
    elif kind == "ladder":
        lean = rng.uniform(0.5, 1.5) * z
        side = leg(rng, np.array([x - 0.02, y + 0.1, -z - 0.2 * lean]),
                   np.array([x - 0.02, -y - 0.05, z + lean]), 0.025, style=1)  # fmt: skip
        rear = block((0.02, y + 0.05, 0.02)).translate((x - 0.02, 0, -z + 0.02))
        parts.append(both_sides(join([side, rear])))
    else:
        parts.append(block((0.06 * x + 0.02, y, 0.05)).translate((0, 0, -z + 0.05)))
    if kind in ("sides", "posts") and rng.random() < 0.5:
        parts.append(block((0.98 * x, 0.98 * y, 0.01)).translate((0, 0, -z + 0.01)))
    for level in levels[:-1]:
        if rng.random() < 0.3:  # Books or a box.
            deep = 0.8 * (levels[1] - levels[0]) / 2 * rng.uniform(0.5, 1.0)
            size = np.array([rng.uniform(0.05, 0.5) * x, deep, 0.7 * z])
            place = (rng.uniform(-0.4, 0.4) * x, level + board / 2 + deep - 0.005, 0)
            parts.append(lump(rng, size).translate(place))
    return join(parts)


def _door(rng: Rng, x: float, y: float, *, glass: bool) -> Solid:
    """A front in the plane z = 0 with a frame, a panel and a handle at its side."""
    front = block((x, y, 0.012)).translate((0, 0, 0.008))
    rim = min(rng.uniform(0.03, 0.09), 0.4 * x, 0.4 * y)
    if glass or rng.random() < 0.4:
        hole = block((x - rim, y - rim, 0.03)).translate((0, 0, 0.025 if glass else 0.035))
        front = cut(front, hole)
    grip = handle(rng, min(0.12, 0.5 * y)).rotate((0, 0, 90))
    side = rng.choice([-1.0, 1.0]) * (x - min(0.5 * rim, 0.3 * x))
    return join([front, grip.translate((side, rng.uniform(-0.3, 0.3) * y, 0.016))])


def _legs(rng: Rng, x: float, z: float, under: float) -> Solid:
    start = np.array([rng.uniform(0.7, 0.95) * x, under, rng.uniform(0.7, 0.93) * z])
    end = start * [rng.uniform(0.95, 1.2), 0, rng.uniform(0.95, 1.2)]
    size = rng.uniform(0.015, 0.045)
    parts = [both_sides(both_sides(leg(rng, start, end, size)), 2)]
    if rng.random() < 0.3:
        level = rng.uniform(0.1, 0.6)
        place = end + (start - end) * level
        thick = 0.7 * size
        parts.append(both_sides(block((thick, thick, place[2])).translate((place[0], place[1], 0))))
        parts.append(block((place[0], thick, thick)).translate((0, place[1], 0)))
    return join(parts)


def _panels(rng: Rng, x: float, z: float, under: float) -> Solid:
    side = block((rng.uniform(0.012, 0.04), under / 2, rng.uniform(0.7, 0.98) * z))
    side = side.translate((rng.uniform(0.75, 0.96) * x, under / 2, 0))
    parts = [both_sides(side)]
    if rng.random() < 0.6:
        deep = rng.uniform(0.1, 0.45) * under
        rear = block((0.9 * x, deep, 0.014)).translate((0, under - deep, -rng.uniform(0, 0.7) * z))
        parts.append(rear)
    return join(parts)


def _column(rng: Rng, x: float, z: float, under: float) -> Solid:
    column = turned(rng, under, rng.uniform(0.04, 0.14), least=0.35)
    if rng.random() < 0.5:
        foot = turned(rng, rng.uniform(0.03, 0.1), rng.uniform(0.5, 0.95) * min(x, z), least=0.5)
    else:
        foot = around(_foot(rng, 0.9 * min(x, z), 0.25 * under), int(rng.integers(3, 6)))
    return join([column, foot])


def _foot(rng: Rng, reach: float, rise: float) -> Solid:
    path = np.array([[0, rise, 0], [0, 0.8 * rise, 0.45 * reach], [0, 0.03, reach]])
    return sweep(
        curve(path, 12), rng.uniform(0.02, 0.04) * ring(8, 0.4), scale=np.linspace(1, 0.7, 12)
    )


def _star(rng: Rng, x: float, z: float, under: float) -> Solid:
    num, size = int(rng.integers(3, 6)), rng.uniform(0.012, 0.035)
    reach = min(x, z)
    start = np.array([0, under, rng.uniform(0.2, 0.8) * reach])
    one = leg(rng, start, np.array([0, 0, rng.uniform(0.7, 1.0) * reach]), size)
    level = rng.uniform(0.2, 0.7) * under
    hoop = sweep(
        0.62 * reach * np.insert(ring(28), 1, 0.0, axis=1), 0.7 * size * ring(8), closed=True
    )
    parts = [around(one, num)]
    return join([*parts, hoop.translate((0, level, 0))] if rng.random() < 0.2 else parts)


def _loops(rng: Rng, x: float, z: float, under: float) -> Solid:
    size, narrow = rng.uniform(0.012, 0.04), rng.uniform(0.6, 1.0)
    low, high = 0.9 * z, 0.9 * narrow * z
    flat = np.array([[-low, 0], [low, 0], [high, under], [-high, under]])
    inner = flat * [1 - 2 * size / z, 1] + np.array(
        [[0, 2 * size], [0, 2 * size], [0, -2 * size], [0, -2 * size]]
    )
    loop = (
        plate(flat, 2 * size, [inner])
        .rotate((0, 90, 0))
        .translate((rng.uniform(0.6, 0.92) * x, 0, 0))
    )
    bar = block((0.9 * x, size, size)).translate((0, rng.choice([size, under - size]), 0))
    return join([both_sides(loop), bar] if rng.random() < 0.5 else [both_sides(loop)])


def _cross(rng: Rng, x: float, z: float, under: float) -> Solid:
    size, place = rng.uniform(0.015, 0.035), rng.uniform(0.55, 0.9) * x
    one = leg(
        rng, np.array([place, under, 0.85 * z]), np.array([place, 0, -0.85 * z]), size, style=1
    )
    two = leg(
        rng, np.array([place, under, -0.85 * z]), np.array([place, 0, 0.85 * z]), size, style=1
    )
    bar = block((place, 0.7 * size, 0.7 * size)).translate((0, under / 2, 0))
    return join([both_sides(join([one, two])), bar])


_STANDS = {
    "legs": _legs, "panels": _panels, "column": _column, "star": _star, "loops": _loops,
    "cross": _cross,
}  # fmt: skip
