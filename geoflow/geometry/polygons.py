"""Polygons in space as triangles, without a fan across a notch and with every edge kept."""

from __future__ import annotations

from collections.abc import Sequence

import mapbox_earcut
import numpy as np
from jaxtyping import Float, Int

# A corner that turns by less than this share of the polygon's area counts as straight.
_STRAIGHT = 1e-9
# Corners of a polygon that is cut: the time goes with up to their square, and no signal is heard in
# it; with their cube where all places come again and again, as walls to holes do not.
_MOST_CUT, _OFTEN = 20_000, 2
# Products of three coordinates beyond are no numbers.
_MOST = 1e60


def triangulate_polygons(
    vertices: Float[np.ndarray, "v 3"], polygons: Sequence[Sequence[int]]
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Triangles of polygons as positions of corners inside each, and the polygon of each triangle.

    Strictly convex polygons become fans of their first corner; others are cut in their best plane.
    A corner that repeats the one before it is passed over. Each edge of a polygon is the edge of
    exactly one of its triangles, so that neighbours still fit, also at corners that are straight.

    Args:
        vertices: of all polygons.
        polygons: indices of the corners of each, in order around it.

    Returns:
        triples of positions in a polygon, and as many indices of polygons, in their order.

    Raises:
        ValueError: for an index outside the vertices, a vertex that is not finite or too far,
            or a face of more corners than are cut in good time.

    Reference: FIST ear cutting as in github.com/mapbox/earcut.hpp.
    """
    lengths = np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    used = np.concatenate([np.asarray(p, np.int64) for p in polygons] or [np.zeros(0, np.int64)])
    check_corners(vertices, used)
    cut: dict[int, list[tuple[int, int, int]]] = {}
    for length in np.unique(lengths[lengths > 3]):
        chosen = [int(i) for i in np.flatnonzero(lengths == length)]
        corners = vertices[np.array([polygons[i] for i in chosen], dtype=np.int64)]
        for i, convex in zip(chosen, _strictly_convex(corners), strict=True):
            if not convex:
                if length > _MOST_CUT:
                    raise ValueError(
                        f"a face has {length:,} corners and is not convex, expected at most "
                        f"{_MOST_CUT:,}: cut it into smaller ones"
                    )
                cut[i] = _cut(vertices, polygons[i])
    triangles: list[tuple[int, int, int]] = []
    sources: list[int] = []
    for i, polygon in enumerate(polygons):
        found = cut[i] if i in cut else [(0, k, k + 1) for k in range(1, len(polygon) - 1)]
        triangles += found
        sources += [i] * len(found)
    return triangles, sources


def check_corners(vertices: Float[np.ndarray, "v 3"], used: Int[np.ndarray, " c"]) -> None:
    """Raise ValueError for a corner outside the vertices, or at one not finite or too far."""
    if len(used) and not (used.min() >= 0 and used.max() < len(vertices)):
        bad = int(used.min()) if used.min() < 0 else int(used.max())
        raise ValueError(f"a face names vertex {bad}, there are {len(vertices)} (counted from 0)")
    broken = int((~np.isfinite(vertices[np.unique(used)])).any(axis=1).sum())
    if broken:
        raise ValueError(f"{broken} of its vertices are not finite (NaN or infinite)")
    far = float(np.abs(vertices[used]).max(initial=0.0))
    if far > _MOST:
        raise ValueError(f"a vertex has a coordinate of {far:.3g}, expected at most {_MOST:g}")


def _normals(corners: Float[np.ndarray, "m n 3"]) -> Float[np.ndarray, "m 3"]:
    """Newell's: along each polygon's normal, as long as twice its area."""
    local = corners - corners[:, :1]
    return np.cross(local, np.roll(local, -1, axis=1)).sum(axis=1)


def _strictly_convex(corners: Float[np.ndarray, "m n 3"]) -> np.ndarray:
    """Whether every corner turns the same way, and once around."""
    normals = _normals(corners)
    area = np.einsum("mk,mk->m", normals, normals)
    edges = np.roll(corners, -1, axis=1) - corners
    turns = np.cross(np.roll(edges, 1, axis=1), edges)
    left = np.einsum("mnk,mk->mn", turns, normals) > _STRAIGHT * area[:, None]
    # A star turns left at each corner too, but its fan has triangles that face backward.
    spokes = corners[:, 1:] - corners[:, :1]
    fan = np.cross(spokes[:, :-1], spokes[:, 1:])
    return np.asarray(left.all(1) & (np.einsum("mnk,mk->mn", fan, normals) > 0).all(1))


def _cut(vertices: np.ndarray, polygon: Sequence[int]) -> list[tuple[int, int, int]]:
    n = len(polygon)
    kept = [i for i in range(n) if polygon[i] != polygon[i - 1]]
    if len(kept) < 3:
        return []
    corners = vertices[[polygon[i] for i in kept]]
    crosses = len(kept) > _OFTEN * len(np.unique(corners, axis=0))
    found = [] if crosses else _ears(corners)
    if len(found) != len(kept) - 2:
        # Without area, or crossing itself: no triangulation is right, a fan keeps the edges.
        found = [(0, k, k + 1) for k in range(1, len(kept) - 1)]
    return [(kept[a], kept[b], kept[c]) for a, b, c in found]


def _ears(corners: Float[np.ndarray, "n 3"]) -> list[tuple[int, int, int]]:
    """Ears in the plane of the polygon, each counterclockwise as the polygon is."""
    (normal,) = _normals(corners[None])
    length = float(np.linalg.norm(normal))
    if not (np.isfinite(length) and length > 0):
        return []
    normal = normal / length
    across = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    across /= np.linalg.norm(across)
    local = corners - corners.mean(axis=0)
    plane = np.stack([local @ across, local @ np.cross(normal, across)], axis=1)
    plane = np.ascontiguousarray(plane / np.abs(plane).max(), dtype=np.float64)
    ends = np.array([len(corners)], dtype=np.uint32)
    flat = mapbox_earcut.triangulate_float64(plane, ends).reshape(-1, 3)
    return _with_straight_corners([(int(a), int(b), int(c)) for a, b, c in flat], len(corners))


def _with_straight_corners(
    triangles: list[tuple[int, int, int]], n: int
) -> list[tuple[int, int, int]]:
    """Triangles split where an outer edge passes over corners that were left out as straight."""
    edges = {edge for a, b, c in triangles for edge in ((a, b), (b, c), (c, a))}
    found = []
    todo = list(triangles)
    while todo:
        a, b, c = todo.pop()
        for i, j, k in ((a, b, c), (b, c, a), (c, a, b)):
            step = (i + 1) % n
            if j != step and (j, i) not in edges and (i, step) not in edges:
                edges |= {(i, step), (step, j), (step, k), (k, step)}
                todo += [(i, step, k), (step, j, k)]
                break
        else:
            found.append((a, b, c))
    return found


def corners_of(
    polygons: Sequence[Sequence[int]],
    triangles: Sequence[tuple[int, int, int]],
    sources: Sequence[int],
) -> Int[np.ndarray, "t 3"]:
    """Vertices of the triangles of `triangulate_polygons`."""
    rows = [[polygons[s][i] for i in t] for t, s in zip(triangles, sources, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)
