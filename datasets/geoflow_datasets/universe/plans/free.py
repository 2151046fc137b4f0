"""Parts set on one another anyhow."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.universe.details import Rng, leg, lump, outline, thin
from geoflow_datasets.universe.forms import (
    Solid,
    around,
    both_sides,
    cut,
    join,
    plate,
    ring,
    sweep,
    tube,
)


def free(rng: Rng) -> Solid:
    """Parts set on one another's surfaces anyhow, with cuts and symmetries."""
    solid = lump(rng, np.exp(rng.uniform(np.log(0.1), np.log(0.6), 3)))
    for _ in range(int(rng.integers(1, 8))):
        mesh = solid.to_mesh64()
        place = np.asarray(mesh.vert_properties)[int(rng.integers(solid.num_vert())), :3]
        part = _any(rng)
        if rng.random() < 0.3:
            part = part.rotate(tuple(rng.uniform(-180, 180, 3)))
        part = part.translate(tuple(place * rng.uniform(0.7, 1.0)))
        if rng.random() < 0.5:
            part = both_sides(part) if rng.random() < 0.6 else around(part, int(rng.integers(3, 7)))
        left = cut(solid, part) if rng.random() < 0.2 else join([solid, part])
        solid = left if left.volume() > 0.3 * solid.volume() else solid
    return solid


def _any(rng: Rng) -> Solid:
    half = np.exp(rng.uniform(np.log(0.03), np.log(0.6), 3))
    kind = rng.choice(["lump", "rod", "plate", "ring", "bent"], p=[0.4, 0.2, 0.15, 0.1, 0.15])
    if kind == "lump":
        return lump(rng, half)
    if kind == "rod":
        end = rng.normal(size=3)
        return leg(
            rng,
            np.zeros(3),
            end / np.linalg.norm(end) * rng.uniform(0.3, 1.2),
            rng.uniform(0.015, 0.1),
        )
    if kind == "plate":
        return plate(outline(rng) * rng.uniform(0.2, 0.8, 2), thin(rng)).rotate((90, 0, 0))
    if kind == "ring":
        radius = rng.uniform(0.15, 0.6)
        path = radius * np.insert(ring(28), 1, 0.0, axis=1)
        return sweep(path, rng.uniform(0.02, 0.3) * radius * ring(12), closed=True)
    points = np.cumsum(rng.normal(0, 0.3, (4, 3)), 0)
    return tube(points - points[0], rng.uniform(0.02, 0.1), num=20, tip=rng.uniform(0.3, 1.2))
