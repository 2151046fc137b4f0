"""The surface followed over a grid: a field's values at every edge where its sign changes.

Where values are interpolated from a coarser grid, their signs predict the edges that the surface
crosses. The ends of these are evaluated, and what lies so near the surface beside them that the
sign may be otherwise; where it turns out so, the cells around are looked at anew, until both ends
of every crossed edge are known. Marching cubes needs no other values: it draws what it would draw
from the dense grid, but for parts that touch no known point.

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
    *,
    margin: float = 0.0,
) -> int:
    """Evaluate both ends of all crossed edges, in place; the number of evaluations.

    Args:
        query: the field at points of the grid by their flat index.
        values: the field where it is known, a prediction elsewhere.
        known: where it is known; updated.
        margin: other corners of crossed cells are evaluated, too, where the prediction is nearer
            to zero than this.
    """
    shape, inside = values.shape, values <= 0.0
    index, evaluated = _first(values, inside, known, margin), 0
    while len(index):
        found = query(index)
        evaluated += len(index)
        values.flat[index], known.flat[index] = found, True
        turned = index[(found <= 0.0) != inside.flat[index]]
        inside.flat[index] = found <= 0.0
        cells = _cells_around(turned, shape)
        corners = np.ravel_multi_index(tuple((cells[:, None] + _CORNERS).reshape(-1, 3).T), shape)
        signs = inside.flat[corners].reshape(-1, 2, 2, 2)
        # The other end of a corner's edge along an axis is its image in the middle of the cell.
        ends = np.zeros_like(signs)
        for axis in (1, 2, 3):
            ends |= signs != np.flip(signs, axis)
        close = np.abs(values.flat[corners]) < margin
        wanted = ends.reshape(-1, 8) | (close.reshape(-1, 8) & ends.any((1, 2, 3))[:, None])
        corners = np.unique(corners[wanted.reshape(-1)])
        index = corners[~known.flat[corners]]
    return evaluated


def _first(
    values: Float32[np.ndarray, "n n n"],
    inside: Bool[np.ndarray, "n n n"],
    known: Bool[np.ndarray, "n n n"],
    margin: float,
) -> Int[np.ndarray, " p"]:
    """Flat index of the points that the predictions ask for."""
    if not inside.any():
        return np.empty(0, dtype=np.int64)
    box = box_around(inside)
    here = inside[box]
    near = np.abs(values[box]) < margin
    near &= corners_of(crossed_cells(here))
    places = np.nonzero((ends_of_crossed_edges(here) | near) & ~known[box])
    whole = [part.start + place for part, place in zip(box, places, strict=True)]
    return np.ravel_multi_index(tuple(whole), inside.shape)


def box_around(mask: Bool[np.ndarray, "l m n"]) -> tuple[slice, slice, slice]:
    """Where a mask is true, somewhere at least, and the points beside: it changes nowhere else."""
    sides = (np.flatnonzero(np.any(mask, axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    first, second, third = (slice(max(int(at[0]) - 1, 0), int(at[-1]) + 2) for at in sides)
    return first, second, third


def ends_of_crossed_edges(inside: Bool[np.ndarray, "l m n"]) -> Bool[np.ndarray, "l m n"]:
    """Points with a neighbour along an axis on the other side."""
    ends = np.zeros_like(inside)
    for axis in range(3):
        first, second = (
            (slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None))
        )
        crossed = inside[first] != inside[second]
        ends[first] |= crossed
        ends[second] |= crossed
    return ends


def crossed_cells(inside: Bool[np.ndarray, "l m n"]) -> Bool[np.ndarray, "l-1 m-1 n-1"]:
    """Cells with corners on both sides."""
    some = every = inside
    for axis in range(3):
        first, second = (
            (slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None))
        )
        some, every = some[first] | some[second], every[first] & every[second]
    return some & ~every


def corners_of(cells: Bool[np.ndarray, "l m n"]) -> Bool[np.ndarray, "l+1 m+1 n+1"]:
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
