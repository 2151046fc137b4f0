"""Independent points of a bank's shapes, and how far points lie from a shape's surface.

A bank stores some points of each shape. Drawn with replacement, two clouds share points, and look
nearer than two draws of the surface are: parts that are compared are disjoint here. Procedural
shapes are known whole, and are drawn afresh.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from geoflow.geometry.sdf import Solid, sample_surface, union_distance
from geoflow_datasets.bank import CloudBank, ShapeBank
from geoflow_datasets.layouts import SPLITS
from geoflow_datasets.procedural import CATEGORIES, make_solids

# How far a stored point may be from its shape's surface, in half precision.
_ROUNDING = 2e-3
_LOOKED_AT = 64

Cloud = Float[np.ndarray, "n 3"]


def whole_shape(bank: ShapeBank | CloudBank, row: int) -> list[Solid] | None:
    """The solids of a procedural shape; None for what is known by points alone."""
    # Banks of procedural shapes name them category-split-index.
    parts = bank.names[row].rsplit("-", 2)
    if len(parts) != 3 or parts[0] not in CATEGORIES or parts[1] not in SPLITS:
        return None
    if not parts[2].isdecimal():
        return None
    solids = make_solids(parts[0], int(parts[2]), split=parts[1])
    stored = np.asarray(bank.surface[row, :_LOOKED_AT], dtype=np.float64)
    # A file of a user may have the name of a procedural shape.
    near = np.abs(union_distance(solids, stored)).max() < _ROUNDING
    return solids if near else None


def disjoint_draws(
    bank: ShapeBank | CloudBank, row: int, sizes: Sequence[int], *, seed: int
) -> list[Cloud]:
    """Clouds of a shape's surface that share no point.

    Of a procedural shape they have the sizes asked for. Of stored points they are as large as those
    allow, all in one proportion.
    """
    rng = np.random.default_rng([seed, row])
    solids = whole_shape(bank, row)
    if solids is not None:
        points, _ = sample_surface(solids, sum(sizes), rng)
        return np.split(points, np.cumsum(sizes)[:-1])
    stored = np.asarray(bank.surface[row], dtype=np.float64)
    share = min(len(stored) / sum(sizes), 1.0)
    fitting = [max(int(share * size), 1) for size in sizes]
    order: Int[np.ndarray, " n"] = rng.permutation(len(stored))
    return [stored[part] for part in np.split(order, np.cumsum(fitting))[: len(sizes)]]


def distance_to_surface(solids: Sequence[Solid], points: Cloud) -> float:
    """Mean distance of points to the surface: 0 on it, and for points inside a lower bound."""
    return float(np.abs(union_distance(solids, points)).mean())
