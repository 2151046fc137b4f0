"""Things that are turned about an axis: stacks and vessels."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.details import Rng, lump, thin, turned
from geoflow_datasets.universe.forms import Solid, around, block, curve, cut, join, lathe, tube


def stack(rng: Rng) -> Solid:
    """Parts on one another along an axis: lamps, bottles, columns, figures of a game."""
    parts, level = [], 0.0
    round_all = rng.random() < 0.5
    for i in range(int(rng.integers(2, 7))):
        rise = np.exp(rng.uniform(np.log(0.03), np.log(0.7)))
        x, z = np.exp(rng.uniform(np.log(0.03), np.log(0.6), 2))
        if round_all or rng.random() < 0.3:
            part = turned(rng, rise, x)
        else:
            part = lump(rng, np.array([x, rise / 2, z])).translate((0, rise / 2, 0))
        shift = rng.normal(0, 0.1, 2) * (i > 0) * (not round_all)
        parts.append(part.translate((shift[0], level, shift[1])))
        level += 0.97 * rise
    if rng.random() < 0.4:
        shade = hollow(rng, rng.uniform(0.25, 0.7), rng.uniform(0.2, 0.6), rng.uniform(0.018, 0.05))
        parts.append(shade.translate((0, level - 0.05, 0)))
        parts.append(block((0.5, 0.012, 0.012)).translate((0, level, 0)))
    solid = join(parts)
    if rng.random() < 0.3:
        arm = tube([(0, 0.5 * level, 0), (0.3, 0.8 * level, 0), (0.6, 0.7 * level, 0)], 0.02)
        ending = lump(rng, rng.uniform(0.05, 0.2, 3)).translate((0.6, 0.7 * level, 0))
        solid = join([solid, around(join([arm, ending]), int(rng.integers(1, 6)))])
    return solid


def vessel(rng: Rng) -> Solid:
    """A hollow body: cup, tub, bin, basket, basin; with handles, spout, lid, holes or foot."""
    wall = float(np.clip(thin(rng), 0.02, 0.08))
    radius, height = rng.uniform(0.25, 0.9), np.exp(rng.uniform(np.log(0.1), np.log(1.6)))
    solid = hollow(rng, radius, height, wall, floor=True)
    if rng.random() < 0.4:
        solid = solid.scale((1.0, 1.0, rng.uniform(0.4, 0.9)))
    box = np.asarray(solid.bounding_box())
    parts = [solid]
    if rng.random() < 0.45:
        low, high = np.sort(rng.uniform(0.15, 0.9, 2)) * height
        edge, out = 0.75 * box[3], rng.uniform(0.1, 0.4)
        high += 0.1
        points = [(edge, low, 0), (edge + out, low, 0), (edge + out, high, 0), (edge, high, 0)]
        bow = tube(points, rng.uniform(0.02, 0.05))
        bow = cut(bow, lathe(np.array([[0.6 * box[3], -1.0], [0.6 * box[3], 3.0]])))
        parts.append(around(bow, int(rng.integers(1, 3))))
    if rng.random() < 0.2:
        num = int(rng.integers(4, 14))
        hole = block((2.0, 0.3 * height, 0.5 * np.pi * radius / num)).translate(
            (0, 0.5 * height, 0)
        )
        parts = [cut(join(parts), around(hole, num))]
    if rng.random() < 0.25:
        parts.append(turned(rng, 0.3, 0.8 * radius).translate((0, -0.28, 0)))
    if rng.random() < 0.25:
        size = rng.uniform(0.08, 0.9, 3) * [0.6 * radius, 0.4, 0.6 * radius]
        parts.append(lump(rng, size).translate((0, wall + 0.9 * size[1], 0)))
    return join(parts)


def hollow(rng: Rng, radius: float, height: float, wall: float, *, floor: bool = False) -> Solid:
    """A turned wall open above, and below unless it has a floor."""
    widths = radius * rng.uniform(0.45, 1.0, 4)
    level = np.linspace(0, height, 16)
    outer = curve(np.stack([widths, np.linspace(0, height, 4)], -1), 16)[:, 0]
    power = rng.uniform(0.2, 0.5) if rng.random() < 0.25 else 1.0
    solid = lathe(np.stack([outer, level], -1), power=power)
    inner = np.stack([np.maximum(outer - wall, 0.2 * outer), level], -1)
    inner[0, 1] += wall if floor else -0.01
    inner[-1, 1] += 0.01
    return cut(solid, lathe(inner[inner[:, 1] >= inner[0, 1]], power=power))
