"""Parts of a solid that its field nearly joins, joined: what a network is not sure of breaks.

Where a decoder doubts a thin part, its field along it is a little above zero, and a leg comes out
as a row of fragments. The components of {f <= level} merge while the level rises; two that merge
at a level of at most `most` are taken for one part. They meet along the path between them whose
highest value is least, which is in a minimum spanning tree of the grid's edges, and there the field
is lowered, to about as deep as the thinner of its ends is.

Reference: Edelsbrunner, Letscher and Zomorodian, "Topological persistence and simplification",
2002, Discrete & Computational Geometry 28 (components of sublevel sets, and cancelling them);
Hu, "The maximum capacity route problem", 1961, Operations Research 9 (paths in spanning trees).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64
from scipy import ndimage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from geoflow.geometry.tracking import box_around

# Half widths of what joins: at least, at most, and how far around it the ends are looked at.
_THINNEST, _THICKEST, _LOCAL = 0.012, 0.04, 0.1


class Bridge(NamedTuple):
    """Where a field is lowered so that parts of its solid become one."""

    places: Int64[np.ndarray, "p 3"]
    """Points of the grid that it was found on."""
    lowered: Float32[np.ndarray, " p"]
    """By how much, there."""
    radius: float
    """Distance from each at which the field is as it was."""

    def mirrored(self, cells: int) -> Bridge:
        """Its mirror image in the plane x = 0, on a grid of so many cells."""
        flip = np.array([-1, 1, 1])
        return self._replace(places=self.places * flip + np.array([cells, 0, 0]))


def num_parts(values: Float32[np.ndarray, "l m n"]) -> int:
    """Components of {f <= 0}, by edges of the grid."""
    inside = values <= 0.0
    return int(ndimage.label(inside[box_around(inside)])[1]) if inside.any() else 0


def find_bridges(values: Float32[np.ndarray, "l m n"], spacing: float, most: float) -> list[Bridge]:
    """What joins the components of {f <= 0} that merge at a level of at most `most`.

    Args:
        values: of the field, negative inside.
        spacing: of the grid.
        most: level, in units of the field.
    """
    if num_parts(values) < 2:
        return []
    corner = box_around(values <= most)
    values = values[corner]
    labels, num = ndimage.label(values <= 0.0)
    path = _least_climbs(values, labels, num, most)
    groups, count = ndimage.label(path, structure=np.ones((3, 3, 3)))
    margin = int(np.ceil(_LOCAL / spacing))
    bridges = []
    for group, at in zip(range(1, count + 1), ndimage.find_objects(groups), strict=True):
        box = tuple(slice(max(part.start - margin, 0), part.stop + margin) for part in at)
        places = np.argwhere(groups[box] == group) + [part.start for part in box]
        half = _half_width(values[box], labels[box], groups[box] == group)
        lowered = values[tuple(places.T)] + np.float32(half)
        places += [part.start for part in corner]
        bridges.append(Bridge(places, lowered, spacing + 2.0 * half))
    return bridges


def lower(
    values: Float32[np.ndarray, "l m n"], bridges: Sequence[Bridge], spacing: float, stride: int = 1
) -> None:
    """Lower a field in place around its bridges, so that they are inside.

    Args:
        values: of the field on a grid, negative inside.
        bridges: found on a grid whose points are every `stride`-th of this one.
        spacing: of this grid.
        stride: of the other one.
    """
    before = values.copy() if bridges else values
    for bridge in bridges:
        for place, depth in zip(bridge.places * stride, bridge.lowered, strict=True):
            box, squares = _ball(place, bridge.radius / spacing, values.shape)
            fall = depth * np.maximum(1.0 - squares, 0.0)
            values[box] = np.minimum(values[box], before[box] - fall.astype(np.float32))


def reached(
    bridges: Sequence[Bridge], spacing: float, shape: tuple[int, ...], stride: int = 1
) -> Bool[np.ndarray, "l m n"]:
    """Points of a grid of that shape where `lower` changes the field; arguments as of `lower`."""
    found = np.zeros(shape, dtype=bool)
    for bridge in bridges:
        for place in bridge.places * stride:
            box, squares = _ball(place, bridge.radius / spacing, shape)
            found[box] |= squares < 1.0
    return found


def _ball(
    centre: Int64[np.ndarray, " 3"], radius: float, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], Float32[np.ndarray, "i j k"]]:
    """The box of a ball, and squares of distances from its centre as shares of the radius's."""
    low = np.maximum(centre - int(radius), 0)
    high = np.minimum(centre + int(radius) + 1, shape)
    sides = [(np.arange(a, b) - c) / radius for a, b, c in zip(low, high, centre, strict=True)]
    x, y, z = np.meshgrid(*sides, indexing="ij", sparse=True)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return box, (x**2 + y**2 + z**2).astype(np.float32)


def _half_width(
    values: Float32[np.ndarray, "i j k"],
    labels: Int[np.ndarray, "i j k"],
    path: Bool[np.ndarray, "i j k"],
) -> float:
    """Of what joins the parts that a path meets: that of the second thickest of them, nearby."""
    beside = labels[ndimage.binary_dilation(path)]
    depths = -np.asarray(ndimage.minimum(values, labels, np.unique(beside[beside > 0])))
    return float(np.clip(np.sort(depths)[-2], _THINNEST, _THICKEST))


def _least_climbs(
    values: Float32[np.ndarray, "l m n"], labels: Int[np.ndarray, "l m n"], num: int, most: float
) -> Bool[np.ndarray, "l m n"]:
    """Points outside between components, on paths whose highest value is least and at most `most`.

    Args:
        values: of the field.
        labels: components from 1 on, 0 outside.
        num: of components.
        most: level.
    """
    shell = (values <= most) & (labels == 0)
    nodes = labels - 1
    nodes[shell] = num + np.arange(np.count_nonzero(shell))
    tree = _spanning_tree(values, nodes, num + int(np.count_nonzero(shell)))
    kept = _without_dead_ends(tree, num)
    path = np.zeros(values.shape, dtype=bool)
    path[shell] = kept[num:]
    return path


def _spanning_tree(
    values: Float32[np.ndarray, "l m n"], nodes: Int[np.ndarray, "l m n"], num: int
) -> csr_array:
    """Minimum spanning forest of the edges between nodes, -1 being none; an edge is as its end."""
    firsts, seconds, heights = [], [], []
    for axis in range(3):
        low, high = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        a, b = nodes[low], nodes[high]
        joins = np.flatnonzero((a >= 0) & (b >= 0) & (a != b))
        places = np.unravel_index(joins, a.shape)
        a, b = a[places], b[places]
        firsts.append(np.minimum(a, b).astype(np.int64))
        seconds.append(np.maximum(a, b))
        heights.append(np.maximum(values[low][places], values[high][places]))
    first, second, height = map(np.concatenate, (firsts, seconds, heights))
    # A point outside may touch a component more than once, by edges as high as itself.
    _, once = np.unique(first * num + second, return_index=True)
    edges = coo_array((height[once], (first[once], second[once])), shape=(num, num))
    tree = minimum_spanning_tree(edges.tocsr())
    return csr_array(tree + tree.T)


def _without_dead_ends(tree: csr_array, num: int) -> Bool[np.ndarray, " v"]:
    """Nodes that are left when leaves are taken away, but for the first `num`."""
    degrees = np.diff(tree.indptr)
    kept = degrees > 0
    leaves = [int(v) for v in np.flatnonzero(degrees == 1) if v >= num]
    while leaves:
        leaf = leaves.pop()
        kept[leaf] = False
        for node in tree.indices[tree.indptr[leaf] : tree.indptr[leaf + 1]]:
            if kept[node]:
                degrees[node] -= 1
                if degrees[node] == 1 and node >= num:
                    leaves.append(int(node))
    return kept
