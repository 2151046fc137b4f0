"""Meshes from signed-distance fields, by marching cubes on a grid that is refined near the surface.

A coarse grid is evaluated everywhere. A cell is refined where its corners differ in sign, or
where some |f| is below `reach` times the cell's diagonal: a field of Lipschitz constant at most
1 / reach cannot hide a surface in the other cells. Refined cells are split by two, until the
resolution is reached. The points that were never evaluated get the interpolated coarse value, whose
sign is right: marching cubes sees the dense grid's values wherever the surface is.

Networks are dear and round what they draw. For them the surface that the first refinement saw is
followed over the later grids (`tracking.py`), where but the last looks narrowly for others as well:
the same surface in far fewer queries, but for a part thinner than a cell of the last grid but one
that stands alone.

Where a network doubts, what is thin comes in parts; these are joined on request (`joining.py`).

Reference: Lorensen & Cline, "Marching cubes", 1987 (scikit-image's Lewiner variant, 2003).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float32, Int, Int64
from skimage.measure import marching_cubes
from torch import Tensor

from geoflow.geometry.joining import find_bridges, lower, num_parts, reached
from geoflow.geometry.mirror import with_mirror_image
from geoflow.geometry.tracking import (
    Query,
    box_around,
    crossed_cells,
    ends_of_crossed_edges,
    track_surface,
)

Field = Callable[[Float32[Tensor, "n 3"]], Float32[Tensor, " n"]]
Method = Literal["hierarchical", "followed", "dense"]

MIN_RESOLUTION, MAX_RESOLUTION = 16, 512
# Least share of an edge between a grid point and a vertex of the mesh: at the finest grid of the
# default cube that is 2e-6, which files of six decimals and of 32-bit numbers still tell apart.
_LEAST_SHARE = 2.0**-11
# Least value as a share of the largest one; what a tie of marching cubes' face test is raised by.
_LEAST_VALUE, _TIE_RAISE = 2.0**-40, 1.0 + 2.0**-12
# Share of `reach` after the first refinement where the surface is followed, and the cells beside
# it, as a share of one, in which a predicted sign is not trusted.
_LATER_REACH, _MARGIN = 0.2, 0.5
# Cells along an edge of the grid on which parts are joined, at least.
_JOINING = 48


class EmptySurfaceError(ValueError):
    """The field has one sign everywhere: there is no surface to extract."""


@dataclass(frozen=True)
class Extraction:
    """A mesh, and how it was made."""

    mesh: trimesh.Trimesh
    field_queries: int
    """How many times the field was evaluated."""
    joined: int = 0
    """Places where parts were joined."""


def extract_mesh(
    field: Field,
    *,
    resolution: int = 128,
    bound: float = 1.05,
    method: Method = "hierarchical",
    reach: float = 0.5,
    coarsest: int = 16,
    mirrored: bool = False,
    join: float = 0.0,
) -> Extraction:
    """Closed, outward-oriented mesh of the zero level set inside the cube [-bound, bound]^3.

    Args:
        field: signed distance at points, negative inside.
        resolution: cells along an edge of the cube.
        bound: half edge of the cube; a solid that leaves it is closed by its faces.
        method: refine wherever a surface can be, follow the surface that the first refinement saw,
            or evaluate everywhere.
        reach: a coarse cell is kept where |f| < reach x its diagonal; 0.5 is enough for an
            exact distance on the first grid, more allows for a field that is steeper.
        coarsest: cells along an edge of the first grid, at least.
        mirrored: take the mean of the field and its mirror image in the plane x = 0; the mesh is
            exactly its own mirror image.
        join: parts of the solid that would be one if the field were less by this are joined.

    Raises:
        EmptySurfaceError: if the field does not change sign on the grid.
        ValueError: if the resolution is out of range, or odd for a mirrored mesh; for a `join`
            below 0.
        FloatingPointError: if the field is not finite.
    """
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(
            f"resolution must be between {MIN_RESOLUTION} and {MAX_RESOLUTION}, got {resolution}"
        )
    if mirrored and resolution % 2:
        raise ValueError(f"a mirrored mesh needs an even resolution, got {resolution}")
    if not join >= 0.0:
        raise ValueError(f"join must be at least 0, got {join}")
    levels = 0
    if method != "dense":
        while resolution % 2 ** (levels + 1) == 0 and resolution // 2 ** (levels + 1) >= coarsest:
            levels += 1
    at = partial(_at, field, bound=bound, mirrored=mirrored)
    reaches, followed = [reach] * levels, method == "followed"
    if followed:
        # What a first coarse cell can hide is a whole thin part; the last can hide but crumbs.
        reaches = [reach, *[_LATER_REACH * reach] * (levels - 2), 0.0][:levels]
    cells = resolution // 2**levels
    values, known, queries = _evaluate(at, cells, 2.0 * bound, reaches, followed=followed)
    joined = 0
    if join and num_parts(values) > 1:
        joined, more = _join(at, values, known, 2.0 * bound, join, mirrored=mirrored)
        queries += more
    return Extraction(mesh_from_grid(values, bound, mirrored=mirrored), queries, joined)


def mesh_from_grid(
    values: Float32[np.ndarray, "n n n"], bound: float, *, mirrored: bool = False
) -> trimesh.Trimesh:
    """Marching cubes on values at the points of a grid over [-bound, bound]^3, closed at its faces.

    Args:
        values: negative inside.
        bound: half edge of the cube.
        mirrored: read the half x >= 0 alone, and add its mirror image; n is odd.

    Raises:
        EmptySurfaceError: if no value inside the grid is negative, or none at all is positive.
    """
    # The outermost points count as outside, which closes a solid there.
    lowest, highest = float(values[1:-1, 1:-1, 1:-1].min()), float(values.max())
    if lowest >= 0.0 or highest <= 0.0:
        side = "outside" if lowest >= 0.0 else "inside"
        raise EmptySurfaceError(
            f"the field is {side} everywhere (values {lowest:.3g} to {highest:.3g}): "
            "it has no surface; try another seed, or train longer"
        )
    spacing = 2.0 * bound / (values.shape[0] - 1)
    inside = values <= 0.0
    for axis in range(3):
        for end in (0, -1):
            np.moveaxis(inside, axis, 0)[end] = False
    if mirrored:
        middle = values.shape[0] // 2
        values, inside = values[middle:], inside[middle:]
    box = box_around(inside)
    values = np.where((values[box] > 0.0) | inside[box], values[box], np.float32(_LEAST_VALUE))
    values = _off_zero(values)
    _break_ties(values)
    vertices, faces, _, _ = marching_cubes(values, level=0.0, gradient_direction="descent")
    vertices = vertices.astype(np.float64) + [part.start for part in box]
    vertices = vertices * spacing - [0.0 if mirrored else bound, bound, bound]
    if mirrored:
        vertices, faces = with_mirror_image(vertices, faces)
    return trimesh.Trimesh(vertices, faces, process=False)


def _off_zero(values: Float32[np.ndarray, "l m n"]) -> Float32[np.ndarray, "l m n"]:
    """No end of a crossed edge with a value smaller than _LEAST_SHARE of such ones around it.

    Else vertices on several edges of a grid point coincide once a file has rounded them, and the
    mesh is no longer closed. Signs are kept, a zero counts as inside (which keeps the edges of a
    box whose faces run through grid points), and the surface of a distance moves by less than a
    thousandth of a cell. Values are scaled so that the least is about 1, since the face test of
    marching cubes takes a difference of products below 2e-16 as zero.
    """
    largest = float(np.abs(values).max())
    # Other values may be predictions: they have no say in where the surface is.
    counts = ends_of_crossed_edges(values <= 0.0)
    near = _places(np.abs(values) <= _LEAST_SHARE * largest)
    at = tuple(near.T)
    sign = np.where(values[at] > 0.0, np.float32(1.0), np.float32(-1.0))
    magnitude = np.maximum(np.abs(values[at]), np.float32(_LEAST_VALUE * largest))
    around, last = np.argwhere(np.ones((3, 3, 3))) - 1, np.array(values.shape) - 1
    while True:
        values[at] = sign * magnitude
        greatest = magnitude
        for step in around:
            beside = tuple(np.clip(near + step, 0, last).T)
            greatest = np.maximum(greatest, np.abs(values[beside]) * counts[beside])
        raised = np.maximum(magnitude, np.float32(_LEAST_SHARE) * greatest)
        if (raised == magnitude).all():
            return values * np.float32(2.0 ** -np.floor(np.log2(np.abs(values).min())))
        magnitude = raised


def _places(mask: Bool[np.ndarray, "l m n"]) -> Int64[np.ndarray, "p 3"]:
    """Where a mask is true: `np.argwhere`, in a quarter of the time where that is seldom."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)


def _break_ties(values: Float32[np.ndarray, "l m n"]) -> None:
    """Change values in place until the face test of marching cubes decides every grid face.

    Where the corners' signs alternate round a face, the test compares the products of its
    diagonals; at a tie the two cells beside the face may decide differently, which leaves a hole
    (scikit-image issue 8109). Raising the inside corners joins the inside. It ends: inside values
    only grow, so that a face is tied at most once.
    """
    tied = True
    while tied:
        tied = False
        for first, second in ((0, 1), (0, 2), (1, 2)):
            corners = _alternating_faces(values, first, second)
            a, b, c, d = (values[tuple(corner.T)].astype(np.float64) for corner in corners)
            ties = np.abs(a * c - b * d) <= _LEAST_VALUE * np.abs(a * c)
            for corner in corners:
                points = np.unique(corner[ties], axis=0)
                at = tuple(points[values[tuple(points.T)] < 0.0].T)
                values[at] *= np.float32(_TIE_RAISE)
            tied |= bool(ties.any())


def _alternating_faces(
    values: Float32[np.ndarray, "l m n"], first: int, second: int
) -> list[Int64[np.ndarray, "f 3"]]:
    """Corners, in turn round the face, of grid faces along two axes whose signs alternate."""
    inside = np.moveaxis(values < 0.0, (first, second), (0, 1))
    a, b, c, d = inside[:-1, :-1], inside[1:, :-1], inside[1:, 1:], inside[:-1, 1:]
    low = _places((a == c) & (b == d) & (a != b))
    turns = []
    for i, j in ((0, 0), (1, 0), (1, 1), (0, 1)):
        corner = np.empty_like(low)
        corner[:, first], corner[:, second] = low[:, 0] + i, low[:, 1] + j
        corner[:, 3 - first - second] = low[:, 2]
        turns.append(corner)
    return turns


def _evaluate(
    at: Callable[[int], Query], cells: int, edge: float, reaches: list[float], *, followed: bool
) -> tuple[Float32[np.ndarray, "n n n"], Bool[np.ndarray, "n n n"], int]:
    """The field on a grid that is refined once for each of `reaches`, where, and how often asked.

    Args:
        at: the field at the points of a grid of so many cells.
        cells: along an edge of the first grid.
        edge: of the cube.
        reaches: of the cells that are refined.
        followed: follow the surface after the first refinement; refined are other cells alone.
    """
    values = np.zeros((cells + 1,) * 3, dtype=np.float32)
    known = np.zeros(values.shape, dtype=bool)
    queries = _fill(at(cells), values, known, ~known)
    for level, reach in enumerate(reaches):
        active = _active_cells(values, edge / cells, reach)
        track = followed and level > 0
        if track:
            active &= ~crossed_cells(values <= 0.0)
        cells *= 2
        values, known = _upsample(values), _spread(known)
        if active.any():
            queries += _fill(at(cells), values, known, _corners_of_children(active))
        if track:
            queries += track_surface(at(cells), values, known, margin=_MARGIN * edge / cells)
    return values, known, queries


def _join(
    at: Callable[[int], Query],
    values: Float32[np.ndarray, "n n n"],
    known: Bool[np.ndarray, "n n n"],
    edge: float,
    most: float,
    *,
    mirrored: bool,
) -> tuple[int, int]:
    """Join parts of a solid, in place; at how many places, and the number of evaluations.

    What is doubtful is looked for on a coarser grid, since a finer one has many points near the
    surface; what a coarse edge leapt over is then joined on the fine grid.
    """
    cells, stride = len(values) - 1, 1
    while cells % (2 * stride) == 0 and cells // (2 * stride) >= _JOINING:
        stride *= 2
    spacing, every = edge / cells, (slice(None, None, stride),) * 3
    coarse, seen = values[every].copy(), known[every].copy()
    # A value between points is off by no more than their distance.
    queries = _fill(at(cells // stride), coarse, seen, np.abs(coarse) <= most + stride * spacing)
    values[every], known[every] = coarse, seen
    if stride > 1:
        queries += track_surface(at(cells), values, known, margin=_MARGIN * spacing)
    joined = 0
    for step, level in ((stride, most), (1, min(most, spacing)))[: 1 + (stride > 1)]:
        bridges = find_bridges(coarse if step > 1 else values, step * spacing, level)
        if mirrored:
            bridges += [bridge.mirrored(cells // step) for bridge in bridges]
        near = reached(bridges, spacing, values.shape, step)
        queries += _fill(at(cells), values, known, near)
        lower(values, bridges, spacing, step)
        joined += len(bridges)
    return joined, queries


def _active_cells(
    values: Float32[np.ndarray, "n n n"], spacing: float, reach: float
) -> Bool[np.ndarray, "c c c"]:
    """Cells with a sign change or a value within reach of the surface."""
    low, high = values, values
    for axis in range(3):
        first = [slice(None)] * 3
        second = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        low = np.minimum(low[tuple(first)], low[tuple(second)])
        high = np.maximum(high[tuple(first)], high[tuple(second)])
    band = reach * spacing * np.sqrt(3.0)
    crossing = (low <= 0.0) & (high > 0.0)
    nearest = np.where(low > 0.0, low, -high)
    return crossing | (nearest < band)


def _corners_of_children(active: Bool[np.ndarray, "c c c"]) -> Bool[np.ndarray, "n n n"]:
    """Points of the grid of half spacing that touch an active cell."""
    size = 2 * active.shape[0] + 1
    known = np.zeros((size,) * 3, dtype=bool)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                stop = [size - 2 + o for o in (i, j, k)]
                known[i : stop[0] : 2, j : stop[1] : 2, k : stop[2] : 2] |= active
    return known


def _upsample(values: Float32[np.ndarray, "n n n"]) -> Float32[np.ndarray, "m m m"]:
    """Linear interpolation on the grid of half spacing; exact copies at the old points."""
    for axis in range(3):
        # In the order of memory, whichever the axis is: moved axes take three times as long.
        before = (slice(None),) * axis
        size = values.shape[axis]
        fine = np.empty(
            (*values.shape[:axis], 2 * size - 1, *values.shape[axis + 1 :]), dtype=np.float32
        )
        fine[(*before, slice(None, None, 2))] = values
        between = fine[(*before, slice(1, None, 2))]
        np.add(values[(*before, slice(-1))], values[(*before, slice(1, None))], out=between)
        between *= np.float32(0.5)
        values = fine
    return values


def _spread(known: Bool[np.ndarray, "n n n"]) -> Bool[np.ndarray, "m m m"]:
    """The same points on the grid of half spacing."""
    fine = np.zeros(tuple(2 * n - 1 for n in known.shape), dtype=bool)
    fine[::2, ::2, ::2] = known
    return fine


def _fill(
    query: Query,
    values: Float32[np.ndarray, "n n n"],
    known: Bool[np.ndarray, "n n n"],
    wanted: Bool[np.ndarray, "n n n"],
) -> int:
    """Evaluate the field at wanted points that are not known; the number of evaluations."""
    index = np.flatnonzero(wanted & ~known)
    if len(index):
        values.flat[index], known.flat[index] = query(index), True
    return len(index)


def _at(field: Field, cells: int, *, bound: float, mirrored: bool) -> Query:
    """The field at the points of a grid, by their flat index; or its mean with its mirror image."""
    axis = np.linspace(-bound, bound, cells + 1, dtype=np.float32)

    def query(index: Int[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        points = axis[np.stack(np.unravel_index(index, (cells + 1,) * 3), axis=1)]
        found = field(torch.from_numpy(points)).detach().cpu().numpy().astype(np.float32)
        if not np.isfinite(found).all():
            raise FloatingPointError(
                f"the field has {np.count_nonzero(~np.isfinite(found))} values that are not finite"
            )
        return found

    def mean(index: Int[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        i, j, k = np.unravel_index(index, (cells + 1,) * 3)
        image = np.ravel_multi_index((cells - i, j, k), (cells + 1,) * 3)
        places, back = np.unique(np.concatenate([index, image]), return_inverse=True)
        here, there = np.split(query(places)[back], 2)
        return (here + there) / 2

    return mean if mirrored else query
