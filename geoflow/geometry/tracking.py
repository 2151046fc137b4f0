"""The surface followed over a grid: a field's values wherever its sign changes, and nowhere else.

Where values are interpolated from a coarser grid, their signs predict the cells that the surface
crosses. The corners of these are evaluated; where a sign turns out otherwise the cells around it
are looked at anew, until every corner of every crossed cell is known. Marching cubes then draws
what it would draw from the dense grid, but for parts that touch no known point.

Reference: Wyvill et al., "Data structure for soft objects", 1986 (continuation of surfaces).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Int

Query: TypeAlias = Callable[[Int[np.ndarray, " n"]], Float32[np.ndarray, " n"]]
_CORNERS = np.array(list(product((0, 1), repeat=3)))


def track_surface(
    query: Query,
    values: Float32[np.ndarray, "n n n"],
    known: Bool[np.ndarray, "n n n"],
) -> int:
    """Evaluate the corners of all crossed cells, in place; the number of evaluations.

    Args:
        query: the field at points of the grid by their flat index.
        values: the field where it is known, a prediction elsewhere.
        known: where it is known; updated.
    """
    shape, inside = values.shape, values <= 0.0
    index = np.flatnonzero(corners_of(crossed_cells(inside)) & ~known)
    evaluated = 0
    while len(index):
        found = query(index)
        evaluated += len(index)
        values.flat[index], known.flat[index] = found, True
        turned = index[(found <= 0.0) != inside.flat[index]]
        inside.flat[index] = found <= 0.0
        cells = _cells_around(turned, shape)
        corners = np.ravel_multi_index(tuple((cells[:, None] + _CORNERS).reshape(-1, 3).T), shape)
        signs = inside.flat[corners].reshape(-1, 8)
        crossed = signs.any(1) & ~signs.all(1)
        corners = np.unique(corners.reshape(-1, 8)[crossed])
        index = corners[~known.flat[corners]]
    return evaluated


def crossed_cells(inside: Bool[np.ndarray, "n n n"]) -> Bool[np.ndarray, "c c c"]:
    """Cells with corners on both sides."""
    some = every = inside
    for axis in range(3):
        first, second = (
            (slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None))
        )
        some, every = some[first] | some[second], every[first] & every[second]
    return some & ~every


def corners_of(cells: Bool[np.ndarray, "c c c"]) -> Bool[np.ndarray, "n n n"]:
    """The corners of cells."""
    marked = cells
    for axis in range(3):
        wider = np.zeros(tuple(n + (i == axis) for i, n in enumerate(marked.shape)), dtype=bool)
        before = (slice(None),) * axis
        wider[(*before, slice(None, -1))] = marked
        wider[(*before, slice(1, None))] |= marked
        marked = wider
    return marked


def _cells_around(points: Int[np.ndarray, " n"], shape: tuple[int, ...]) -> Int[np.ndarray, "m 3"]:
    """First corners of the cells that touch points."""
    places = np.stack(np.unravel_index(points, shape), axis=1)
    cells = (places[:, None] - _CORNERS).reshape(-1, 3)
    return cells[((cells >= 0) & (cells < np.array(shape) - 1)).all(1)]
