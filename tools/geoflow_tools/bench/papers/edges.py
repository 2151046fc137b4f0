"""What a drawing shows of a solid: occluding contours and creases, found by rays to its distance.

A ray per pixel walks along the signed distance to the first surface. Where neighbouring rays miss
and meet, meet surfaces of different depth, or meet normals that turn sharply, an edge passes
between them; bisection between the two rays places it to a sixteenth of a pixel.

Reference: Hart, "Sphere tracing", The Visual Computer 12, 1996.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from geoflow.geometry.sdf import Solid, gradient, union_distance

EXTENT = 1.4
"""Half edge of a picture; a shape's longest half extent is 1."""
_FAR = 2.0
_NEAR_ENOUGH = 2e-3
# Rays that graze a surface come near it slowly.
_GRAZING = 1e-2
_WALK = 24
_BISECTIONS = 4
_STEEPEST = 0.1
_LIGHT = np.array([-0.45, 0.65, 0.62]) / np.linalg.norm([-0.45, 0.65, 0.62])


@dataclass(frozen=True)
class Met:
    """What rays meet first, in the axes of the picture: right, up, towards us."""

    is_hit: Bool[np.ndarray, " n"]
    depth: Float[np.ndarray, " n"]
    """Nearness; of rays that miss, that of the far side."""
    normal: Float[np.ndarray, "n 3"]
    """Zero for rays that miss."""

    def __getitem__(self, index: np.ndarray) -> Met:
        """What some of the rays meet."""
        return Met(self.is_hit[index], self.depth[index], self.normal[index])


@dataclass(frozen=True)
class Drawing:
    """A shaded picture, rows from above, and points of the edges in it."""

    picture: Float[np.ndarray, "s s"]
    """Brightness in [0, 1]; 0 where there is nothing."""
    edges: Float[np.ndarray, "n 2"]
    """Right and up, the picture's borders at -1 and 1."""


def meet(
    solids: Sequence[Solid], places: Float[np.ndarray, "n 2"], view: Float[np.ndarray, "3 3"]
) -> Met:
    """What rays from places in the picture, in the shape's units, meet first.

    Args:
        solids: of longest half extent 1, about the origin.
        places: right and up.
        view: rows right, up and towards us.
    """
    depth = np.full(len(places), _FAR)
    corners = _corners(solids) @ view.T
    is_inside = (places > corners[:, :2].min(0)) & (places < corners[:, :2].max(0))
    walking = np.flatnonzero(is_inside.all(-1))
    is_hit = np.zeros(len(places), dtype=bool)
    for _ in range(_WALK):
        away = union_distance(solids, np.column_stack([places[walking], depth[walking]]) @ view)
        is_hit[walking[away < _NEAR_ENOUGH]] = True
        # The last bit is walked, too: the distance is exact outside.
        depth[walking] -= np.maximum(away, 0.0)
        is_on = (away >= _NEAR_ENOUGH) & (depth[walking] > -_FAR)
        walking, away = walking[is_on], away[is_on]
        if not len(walking):
            break
    is_hit[walking[away < _GRAZING]] = True
    depth[~is_hit] = -_FAR
    normal = np.zeros((len(places), 3))
    met = np.column_stack([places, depth])[is_hit] @ view
    if len(met):
        normal[is_hit] = gradient(solids, met) @ view.T
    return Met(is_hit, depth, normal)


def shade(met: Met, size: int) -> Float[np.ndarray, "s s"]:
    """Brightness in [0, 1] of what a square of rays meets, in pixels of several; 0: nothing."""
    light = met.is_hit * (0.35 + 0.65 * np.clip(met.normal @ _LIGHT, 0, 1))
    block = math.isqrt(len(light)) // size
    picture: np.ndarray = light.reshape(size, block, size, block).mean((1, 3))
    return picture


def see(
    solids: Sequence[Solid], view: Float[np.ndarray, "3 3"], pixels: int
) -> tuple[Float[np.ndarray, "n 2"], Met]:
    """A square of rays, rows from above, and what they meet."""
    centres = ((np.arange(pixels) + 0.5) / pixels * 2 - 1) * EXTENT
    places = np.stack(np.meshgrid(centres, -centres), axis=-1).reshape(-1, 2)
    return places, meet(solids, places, view)


def draw(
    solids: Sequence[Solid],
    view: Float[np.ndarray, "3 3"],
    *,
    pixels: int = 64,
    size: int = 32,
    crease: float = 40.0,
) -> Drawing:
    """A drawing of solids of longest half extent 1.

    Args:
        solids: about the origin.
        view: rows right, up and towards us.
        pixels: rays along an edge of the picture.
        size: pixels of the shaded picture, which divide the rays.
        crease: angle in degrees by which normals turn at an edge, from a ray to the next.

    Raises:
        ValueError: if the size does not divide the rays.
    """
    if pixels % size:
        raise ValueError(f"{size} pixels must divide {pixels} rays")
    places, met = see(solids, view, pixels)
    picture = shade(met, size)
    index = np.arange(pixels * pixels).reshape(pixels, pixels)
    pairs = np.concatenate(
        [
            np.column_stack([index[:, :-1].ravel(), index[:, 1:].ravel()]),
            np.column_stack([index[:-1].ravel(), index[1:].ravel()]),
        ]
    )
    a, b = pairs.T
    apart = differ(met[a], met[b], places[b] - places[a], crease)
    points = _bisected(solids, view, met, places, pairs[apart])
    return Drawing(picture, points / EXTENT)


def differ(a: Met, b: Met, step: Float[np.ndarray, "n 2"], crease: float) -> Bool[np.ndarray, " n"]:
    """Whether an edge passes between rays that are a step apart."""
    turned = (a.normal * b.normal).sum(-1) < np.cos(np.radians(crease))
    # A surface goes on by a depth between those of its two tangents, and a pixel more or less.
    slopes = [
        -(met.normal[:, :2] * step).sum(-1) / np.maximum(met.normal[:, 2], _STEEPEST)
        for met in (a, b)
    ]
    gained, slack = b.depth - a.depth, 1.5 * np.linalg.norm(step, axis=-1)
    is_jump = (gained > np.maximum(*slopes) + slack) | (gained < np.minimum(*slopes) - slack)
    return (a.is_hit != b.is_hit) | (a.is_hit & b.is_hit & (turned | is_jump))


def _corners(solids: Sequence[Solid]) -> Float[np.ndarray, "k 3"]:
    """Corners of the solids' boxes, which no surface lies outside of."""
    boxes = [np.stack([found.min(0), found.max(0)]) for found in (s.corners() for s in solids)]
    which = np.array(list(np.ndindex(2, 2, 2)))
    return np.concatenate([box[which, np.arange(3)] for box in boxes])


def _bisected(
    solids: Sequence[Solid],
    view: Float[np.ndarray, "3 3"],
    met: Met,
    places: Float[np.ndarray, "n 2"],
    pairs: np.ndarray,
) -> Float[np.ndarray, "m 2"]:
    """Where between the rays of pairs the surface changes."""
    first, second = met[pairs[:, 0]], met[pairs[:, 1]]
    low, high = places[pairs[:, 0]], places[pairs[:, 1]]
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = meet(solids, middle, view)
        is_first = _unlike(found, first) < _unlike(found, second)
        low = np.where(is_first[:, None], middle, low)
        high = np.where(is_first[:, None], high, middle)
    return (low + high) / 2


def _unlike(a: Met, b: Met) -> Float[np.ndarray, " n"]:
    """How different two surfaces are: what is not there differs most."""
    turned = np.linalg.norm(a.normal - b.normal, axis=-1)
    return 10.0 * (a.is_hit != b.is_hit) + np.abs(a.depth - b.depth) + turned
