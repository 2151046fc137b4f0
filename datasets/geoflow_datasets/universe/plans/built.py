"""Things that are built: stands, cases, frames, panels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from geoflow_datasets.universe.details import (
    Rng,
    bars,
    cushion,
    drawers,
    handle,
    leg,
    lump,
    outline,
    thin,
    top,
    turned,
    wheel,
)
from geoflow_datasets.universe.forms import (
    Array,
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
    sheet,
    sweep,
    tube,
)


def stand(rng: Rng) -> Solid:
    """A top on legs, with stretchers, shelves, and things on it or none."""
    x, z = np.exp(rng.uniform(np.log(0.25), np.log(1.0), 2))
    height, board = rng.uniform(0.25, 1.6), thin(rng)
    parts = [top(rng, x, z, board).translate((0, height, 0))]
    radius = rng.uniform(0.015, 0.07)
    num = int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.14, 0.1, 0.1, 0.5, 0.1, 0.06]))
    style, inset, splay = int(rng.integers(7)), rng.uniform(0.6, 0.95), rng.uniform(0.85, 1.35)
    if num == 4 or num == 2:
        start = np.array([inset * x - radius, height, inset * z - radius])
        end = start * [splay, 0, splay]
        one = leg(rng, start, end, radius, style=style)
        legs = both_sides(one) if num == 2 else both_sides(both_sides(one), 2)
        parts.append(legs if num == 4 else legs.translate((0, 0, -start[2])))
        if num == 2:
            parts.append(both_sides(block((3 * radius, board / 2 + 0.01, 0.9 * z))
                                    .translate((end[0], 0.01, 0))))  # fmt: skip
        elif rng.random() < 0.5:
            level = rng.uniform(0.05, 0.8)
            foot = start + (end - start) * (1 - level)
            parts.append(
                both_sides(block((radius, radius, foot[2])).translate((foot[0], foot[1], 0)))
            )
            parts.append(block((foot[0], radius, radius)).translate((0, foot[1], 0)))
    elif num == 1:
        parts.append(turned(rng, height, min(0.6 * min(x, z), 0.3)))
    else:
        reach = inset * min(x, z)
        hub = np.array([0, rng.uniform(0.05, 1.0) * height, 0])
        end = np.array([0, 0, splay * reach])
        start = hub if rng.random() < 0.5 else np.array([0, height, 0.8 * reach])
        parts.append(around(leg(rng, start, end, radius, style=style), num))
        if start is hub:
            parts.append(
                turned(rng, height - hub[1] + 0.02, 2 * radius).translate((0, hub[1] - 0.02, 0))
            )
    if rng.random() < 0.3:
        parts.append(
            top(rng, 0.85 * x, 0.85 * z, board).translate((0, rng.uniform(0.15, 0.6) * height, 0))
        )
    if rng.random() < 0.45:
        parts.append(back(rng, x, rng.uniform(0.3, 1.0)).translate((0, height, -z + 0.03)))
    if rng.random() < 0.2:
        size = np.array([0.3 * x, rng.uniform(0.1, 0.5), 0.3 * z])
        parts.append(lump(rng, size).translate((0, height + size[1], 0)))
    return join(parts)


def back(rng: Rng, x: float, rise: float) -> Solid:
    """What stands on the rear edge of a seat, bench or desk, from y = 0 up."""
    kind, board = rng.integers(4), thin(rng)
    if kind == 0:
        bow = rng.uniform(0.0, 0.4) * x
        u = np.linspace(-1, 1, 11)[:, None] + np.zeros((1, 8))
        v = np.linspace(0, 1, 8)[None] + np.zeros((11, 1))
        width = x * (1 - rng.uniform(0, 0.4) * v)
        depth = bow * u**2 - rng.uniform(0, 0.4) * rise * v
        solid = sheet(np.stack([width * u, rise * v - 0.03, depth], -1), board)
    elif kind == 1:
        solid = bars(rng, x, rise / 2 + 0.03, rng.uniform(0.012, 0.04)).translate(
            (0, rise / 2 - 0.03, 0)
        )
        solid = join([solid, block((x + 0.03, 0.04, 0.03), 0.01).translate((0, rise, 0))])
    elif kind == 2:
        solid = cushion(rng, x, rise / 2 + 0.03, max(board, 0.05)).translate(
            (0, rise / 2 - 0.03, 0)
        )
    else:
        points = [
            (-x, -0.03, 0),
            (-x, 0.7 * rise, 0),
            (0, rise, 0),
            (x, 0.7 * rise, 0),
            (x, -0.03, 0),
        ]
        solid = tube(points, rng.uniform(0.015, 0.04), num=30)
        panel = block((0.93 * x, 0.2 * rise, 0.02)).translate((0, 0.6 * rise, 0))
        solid = join([solid, panel])
    return solid.rotate((rng.uniform(-18, 0), 0, 0))


def case(rng: Rng) -> Solid:
    """A box: with compartments, drawers, doors, openings, feet and things on it."""
    x, y, z = np.exp(rng.uniform(np.log(0.22), np.log(1.0), 3))
    wall = float(np.clip(thin(rng), 0.02, 0.1))
    if rng.random() < 0.25:
        solid = lump(rng, np.array([x, y, z]))
    else:
        solid = block((x, y, z), rng.choice([0.0, 0.03, 0.15]) * min(x, y, z))
    parts = [solid]
    kind = rng.choice(["open", "fronts", "plain"], p=[0.45, 0.35, 0.2])
    if kind == "open":
        columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        bx, by = x / columns, y / rows
        hole = block((max(bx - wall / 2, 0.3 * bx), max(by - wall / 2, 0.3 * by), z))
        step = row(row(hole, columns, (2 * bx, 0, 0)), rows, (0, 2 * by, 0))
        depth = wall if rng.random() < 0.8 else 3 * z
        solid = cut(solid, step.translate((0, 0, depth)))
        parts = [solid]
        if rng.random() < 0.4:
            size = np.array([0.6 * bx, 0.6 * by, 0.6 * z])
            shift = (2 * bx * rng.integers(columns) - x + bx, -y + wall / 2 + size[1], 0)
            parts.append(lump(rng, size).translate(shift))
    elif kind == "fronts":
        columns, num = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        fronts = row(drawers(rng, x / columns, y, 0.0, num), columns, (2 * x / columns, 0, 0))
        parts.append(fronts.translate((0, 0, z - 0.005)))
    for _ in range(int(rng.integers(0, 4))):  # Openings, dials and panels.
        size = rng.uniform(0.1, 0.5, 2) * [x, y]
        shape = plate(outline(rng) * size, rng.uniform(0.04, 0.3)).translate(
            (rng.uniform(-0.5, 0.5) * x, rng.uniform(-0.5, 0.5) * y, z)
        )
        solid = join(parts)
        parts = [cut(solid, shape)] if rng.random() < 0.5 else [solid, shape]
    if rng.random() < 0.4:
        foot = rng.uniform(0.05, 0.4)
        start = np.array([0.85 * x, -y + 0.02, 0.85 * z])
        one = leg(rng, start, start - [0, foot, 0], rng.uniform(0.02, 0.05))
        parts.append(both_sides(both_sides(one), 2))
    if rng.random() < 0.35:
        board = thin(rng)
        parts.append(top(rng, 1.06 * x, 1.06 * z, board).translate((0, y + board / 2, 0)))
    return join(parts)


def frame(rng: Rng) -> Solid:
    """Bent tubes that go round, mirrored, with cross bars, panels, slings or wheels."""
    size = rng.uniform(0.015, 0.05)
    count = int(rng.integers(3, 7))
    turn = np.sort(rng.uniform(0, 2 * np.pi, count))
    loop = np.stack([0 * turn, np.sin(turn), np.cos(turn)], -1) * rng.uniform(0.5, 1.0, (count, 1))
    closed = rng.random() < 0.5 and count > 3
    path = curve(loop, 40, closed=closed) if rng.random() < 0.7 else _polyline(loop, closed=closed)
    width = rng.uniform(0.15, 0.8)
    side = sweep(path, size * ring(12, rng.choice([1.0, 0.3])), closed=closed)
    parts = [both_sides(side.translate((width, 0, 0)))]
    chosen = rng.choice(len(path), int(rng.integers(2, 6)), replace=False)
    for i in chosen:
        bow = rng.normal(0, 0.15) if rng.random() < 0.3 else 0.0
        a, b = path[i] + [-width, 0, 0], path[i] + [width, 0, 0]
        parts.append(tube([a, (a + b) / 2 + [0, bow, 0], b], size * rng.uniform(0.6, 1.2)))
    if rng.random() < 0.65:  # A sling, seat or panel between the sides.
        first = int(rng.integers(len(path) - 6))
        part = path[first : first + int(rng.integers(6, 18))]
        sag = rng.uniform(0, 0.15)
        u = np.linspace(-1, 1, 9)
        points = part[:, None] + np.stack([width * u, -sag * (1 - u**2), 0 * u], -1)[None]
        parts.append(sheet(points, thin(rng)))
    if rng.random() < 0.2:
        parts.append(
            row(wheel(rng, rng.uniform(0.2, 0.5), 0.05), 2, (0, 0, 1.4)).translate((0, -0.6, 0))
        )
    return join(parts)


def _polyline(points: Array, *, closed: bool) -> Array:
    ends = np.concatenate([points, points[:1]]) if closed else points
    found = [a + (b - a) * u for a, b in pairwise(ends) for u in (0.1, 0.5, 0.9)]
    return np.asarray(found if closed else [ends[0], *found, ends[-1]])


def panel(rng: Rng) -> Solid:
    """A flat thing: frames and panes, grilles, slats, dials, plugs, books, rugs."""
    x, y = np.exp(rng.uniform(np.log(0.3), np.log(1.0), 2))
    depth = np.exp(rng.uniform(np.log(0.02), np.log(0.2)))
    kind = rng.choice(["frame", "grille", "relief", "soft"], p=[0.35, 0.25, 0.3, 0.1])
    if kind == "soft":
        u, v = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(-1, 1, 14), indexing="ij")
        wave = rng.uniform(0.02, 0.15) * np.sin(u * rng.uniform(2, 16) + rng.uniform(0, 6))
        return sheet(np.stack([x * u, y * v, wave], -1), rng.uniform(0.018, 0.05))
    shape = outline(rng) if rng.random() < 0.25 else np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    parts = [plate(shape * [x, y], depth)]
    if kind == "frame":
        columns, rows = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        rim = rng.uniform(0.04, 0.15)
        hole = block((max(x / columns - rim, 0.02), max(y / rows - rim, 0.02), 1))
        parts = [
            cut(
                parts[0],
                row(row(hole, columns, (2 * x / columns, 0, 0)), rows, (0, 2 * y / rows, 0)),
            )
        ]
        if rng.random() < 0.5:
            parts.append(block((0.98 * x, 0.98 * y, rng.uniform(0.009, 0.015))))
    elif kind == "grille":
        rim = rng.uniform(0.03, 0.1)
        parts = [
            cut(parts[0], plate(shape * [x - rim, y - rim], 1.0)),
            bars(rng, x - rim, y - rim, rng.uniform(0.01, 0.04)),
        ]
    for _ in range(int(rng.integers(0, 4)) if kind == "relief" else int(rng.random() < 0.4)):
        size = rng.uniform(0.1, 0.7, 2) * [x, y]
        relief = plate(outline(rng) * size, depth).translate((0, 0, rng.uniform(0.3, 1.0) * depth))
        solid = join(parts)
        parts = [cut(solid, relief)] if rng.random() < 0.5 else [solid, relief]
    if rng.random() < 0.3:
        parts.append(handle(rng, 0.1).translate((0.8 * x, 0, depth / 2)))
    if rng.random() < 0.2:
        parts.append(row(block((0.04, 0.03, 0.25)), 2, (1.4 * x, 0, 0)).translate((0, -y, 0)))
    return join(parts)
