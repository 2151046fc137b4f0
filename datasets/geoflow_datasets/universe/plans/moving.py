"""Things that move and are held: vehicles and tools."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.details import Rng, bars, lump, outline, wheel, wing
from geoflow_datasets.universe.forms import (
    SEGMENTS,
    Solid,
    block,
    both_sides,
    curve,
    cut,
    join,
    loft,
    plate,
    ring,
    sweep,
)


def vehicle(rng: Rng) -> Solid:
    """A long hull from sections, with wheels, wings, fins, a cabin or openings."""
    num, width, height = 7, rng.uniform(0.1, 0.45), rng.uniform(0.1, 0.4)
    along = np.linspace(-1, 1, num)
    size = np.clip(curve(rng.uniform(0.3, 1.0, (4, 2)), num), 0.15, 1.1)
    size[[0, -1]] *= rng.uniform(0.1, 1.0)
    shape = ring(SEGMENTS, float(rng.uniform(0.25, 1.0)))
    lift = rng.uniform(-0.3, 0.3) * height
    rings = np.stack([
        np.stack([width * s[0] * shape[:, 0], height * s[1] * shape[:, 1] + lift * (1 - s[1]),
                  np.full(len(shape), z)], -1)
        for z, s in zip(along, size, strict=True)
    ])  # fmt: skip
    parts = [loft(rings)]
    if rng.random() < 0.5:
        cabin = lump(rng, np.array([0.8 * width, 0.5 * height, rng.uniform(0.2, 0.6)]))
        parts.append(cabin.translate((0, height, rng.uniform(-0.4, 0.4))))
    if rng.random() < 0.6:
        radius = rng.uniform(0.1, 0.3)
        one = wheel(rng, radius, rng.uniform(0.03, 0.08)).translate((0.95 * width, -height, 0.0))
        pair = both_sides(one)
        parts += [
            pair.translate((0, 0, z)) for z in np.linspace(-0.6, 0.6, int(rng.integers(2, 4)))
        ]
    if rng.random() < 0.45:
        panel_ = wing(
            rng.uniform(0.2, 0.6),
            rng.uniform(0.05, 0.3),
            rng.uniform(0.4, 1.1),
            rng.uniform(-0.1, 0.6),
            0.03,
        )
        parts.append(both_sides(panel_.rotate((0, 0, rng.uniform(-5, 12)))))
        tail = wing(0.25, 0.12, 0.35, 0.12, 0.02)
        parts.append(both_sides(tail).translate((0, 0, -0.8)))
        parts.append(tail.rotate((0, 0, 90)).translate((0, 0, -0.8)))
    solid = join(parts)
    if rng.random() < 0.3:
        hole = block((0.75 * width, height, rng.uniform(0.2, 0.5)), 0.03)
        solid = cut(solid, hole.translate((0, height, rng.uniform(-0.3, 0.3))))
    return solid


def tool(rng: Rng) -> Solid:
    """A long handle with a head at an end or both: hammers, spoons, combs, keys, rackets."""
    size, length = rng.uniform(0.03, 0.1), 1.0
    bow = rng.normal(0, 0.08, 3) * [1, 0, 1]
    spine = np.array([[0, -length, 0], [0, -0.3, 0], [0, 0.3, 0], [0, length, 0]])
    path = curve(spine + np.stack([0 * bow, bow, -bow, 0 * bow]), 20)
    scale = np.clip(curve(rng.uniform(0.4, 1.0, (4, 1)), 20)[:, 0], 0.3, 1.2)
    section = size * ring(14, rng.uniform(0.3, 1.0)) * [1, rng.uniform(0.3, 1.0)]
    parts = [sweep(path, section, scale=scale)]
    for end in (length, -length)[: int(rng.integers(1, 3))]:
        half = np.exp(rng.uniform(np.log(0.04), np.log(0.4), 3))
        kind = rng.integers(4)
        if kind == 0:
            head = lump(rng, half)
        elif kind == 1:
            head = plate(outline(rng) * half[:2], rng.uniform(0.02, 0.1))
        elif kind == 2:
            flat = outline(rng) * half[:2]
            head = plate(flat, 0.05, [0.7 * flat])
        else:
            head = bars(rng, half[0], half[1], rng.uniform(0.01, 0.03))
            head = join([head, block((half[0], 0.03, 0.03))])
        parts.append(head.rotate((0, 90 * int(rng.integers(2)), 0)).translate((0, end, 0)))
    return join(parts)
