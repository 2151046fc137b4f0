"""Exact signed distances of solid primitives, negative inside, and their union.

Every primitive is placed by a rotation and a centre: a world point p has local coordinates
R^T (p - c). The union of solids is the minimum of their distances: exact outside and on the
surface, a lower bound on the depth inside.

Reference: the closed forms are those of I. Quilez, "Distance functions" (2008-2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from geoflow.geometry.box import box_of
from geoflow.geometry.outline import Outline, polygon_distance

Array = np.ndarray
_IDENTITY = np.eye(3)
_GRADIENT_STEP = 1e-4
# A point counts as outside a solid from this distance on.
_OUTSIDE = 1e-4


@runtime_checkable
class Solid(Protocol):
    """A placed solid: distance, a sampler of its surface, its box, and rigid similarity."""

    def distance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Signed distance in world length units, negative inside."""

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """At most `num` points, uniform in area on the surface; what lies inside counts as none."""

    def area(self) -> float:
        """Area that `num` points of `surface` are drawn on, with what of them is left out."""

    def corners(self) -> Float[Array, "k 3"]:
        """Points whose bounding box contains the solid tightly for axis-aligned poses."""

    def scaled(self, scale: float, shift: Float[Array, " 3"]) -> Solid:
        """The solid after p -> scale * (p + shift)."""


# Along which axes the faces, edges and corners of a rounded box are curved, or end.
_CURVED = np.concatenate([np.eye(3), 1 - np.eye(3), np.ones((1, 3))]).astype(bool)


@dataclass(frozen=True)
class RoundBox:
    """Box of half extents `half`, its edges rounded by `radius` (included in `half`)."""

    centre: Float[Array, " 3"]
    half: Float[Array, " 3"]
    radius: float = 0.0
    rotation: Float[Array, "3 3"] = field(default_factory=lambda: _IDENTITY)

    def __post_init__(self) -> None:
        """Raise ValueError for a radius that the box has no room for."""
        if self.radius > np.min(self.half):
            raise ValueError(f"radius must be at most {np.min(self.half)}, got {self.radius}")

    def distance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Signed distance, exact everywhere."""
        q = np.abs((points - self.centre) @ self.rotation) - (self.half - self.radius)
        outside = np.sqrt((np.maximum(q, 0.0) ** 2).sum(-1))
        return outside + np.minimum(q.max(-1), 0.0) - self.radius

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """Points on the faces, on the quarter cylinders of the edges and on the corners' sphere."""
        inner, areas = self.half - self.radius, self._areas()
        curved = _CURVED[rng.choice(len(areas), size=num, p=areas / areas.sum())]
        direction = _unit(np.where(curved, rng.normal(size=(num, 3)), 0.0))
        flat = rng.uniform(-1.0, 1.0, (num, 3)) * inner
        local = np.where(curved, np.sign(direction) * inner, flat) + self.radius * direction
        return local @ self.rotation.T + self.centre

    def area(self) -> float:
        """Area of the rounded box."""
        return float(self._areas().sum())

    def _areas(self) -> Float[Array, " 7"]:
        """Of the faces by their axis, the edges by theirs, and the corners."""
        inner, r = self.half - self.radius, self.radius
        others = np.roll(inner, -1) * np.roll(inner, -2)
        return np.concatenate([8 * others, 4 * np.pi * r * inner, [4 * np.pi * r * r]])

    def corners(self) -> Float[Array, "k 3"]:
        """Centre plus and minus the support of the rounded box along the axes."""
        inner = np.abs(self.rotation) @ (self.half - self.radius) + self.radius
        return np.stack([self.centre - inner, self.centre + inner])

    def scaled(self, scale: float, shift: Float[Array, " 3"]) -> RoundBox:
        """The box after p -> scale * (p + shift)."""
        return replace(
            self,
            centre=(self.centre + shift) * scale,
            half=self.half * scale,
            radius=self.radius * scale,
        )


@dataclass(frozen=True)
class RoundCone:
    """Convex hull of two balls: a capsule with a radius at each end."""

    start: Float[Array, " 3"]
    end: Float[Array, " 3"]
    radius_start: float
    radius_end: float

    def distance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Signed distance, exact everywhere; needs |r0 - r1| < |end - start|."""
        axis = self.end - self.start
        length, slope = float(np.linalg.norm(axis)), self._slope()
        across = np.sqrt(max(1.0 - slope * slope, 1e-12))
        relative = points - self.start
        y = relative @ (axis / length)
        x = np.sqrt(np.maximum((relative**2).sum(-1) - y * y, 0.0))
        along = y * across - x * slope
        return np.where(
            along < 0.0,
            np.hypot(x, y) - self.radius_start,
            np.where(
                along > across * length,
                np.hypot(x, y - length) - self.radius_end,
                x * across + y * slope - self.radius_start,
            ),
        )

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """Points on the side, and on what of the two balls is beyond it."""
        axis = self.end - self.start
        length = float(np.linalg.norm(axis))
        axis = axis / length
        slope, ends = self._slope(), np.array([self.radius_start, self.radius_end])
        areas = self._areas()
        part = rng.choice(3, size=num, p=areas / areas.sum())
        share = rng.uniform(size=num)
        # On a ball, area is even in the cosine; on the side, radii are linear along the axis.
        u = np.choose(part, [0.0, 1.0, _linear(ends[0], ends[1], share)])
        cosine = np.choose(part, [share * (1 + slope) - 1, slope + share * (1 - slope), slope])
        around = rng.normal(size=(num, 3))
        around = _unit(around - (around @ axis)[:, None] * axis)
        direction = cosine[:, None] * axis + np.sqrt(1 - cosine**2)[:, None] * around
        radius = ends[0] + (ends[1] - ends[0]) * u
        return self.start + (u * length)[:, None] * axis + radius[:, None] * direction

    def area(self) -> float:
        """Area of the surface."""
        return float(self._areas().sum())

    def _slope(self) -> float:
        """Cosine between the axis and the side's normals."""
        length = float(np.linalg.norm(self.end - self.start))
        return (self.radius_start - self.radius_end) / length

    def _areas(self) -> Float[Array, " 3"]:
        """Of the first ball, the second, and the side."""
        r0, r1, slope = self.radius_start, self.radius_end, self._slope()
        length = float(np.linalg.norm(self.end - self.start))
        side = (r0 + r1) * (1 - slope * slope) * length
        return np.pi * np.array([2 * r0 * r0 * (1 + slope), 2 * r1 * r1 * (1 - slope), side])

    def corners(self) -> Float[Array, "k 3"]:
        """Boxes of the two balls."""
        r0, r1 = self.radius_start, self.radius_end
        return np.stack([self.start - r0, self.start + r0, self.end - r1, self.end + r1])

    def scaled(self, scale: float, shift: Float[Array, " 3"]) -> RoundCone:
        """The cone after p -> scale * (p + shift)."""
        return RoundCone(
            (self.start + shift) * scale,
            (self.end + shift) * scale,
            self.radius_start * scale,
            self.radius_end * scale,
        )


@dataclass(frozen=True)
class Extrusion:
    """Polygon in the local xy plane, extruded to |z| <= half_depth, then grown by `radius`."""

    centre: Float[Array, " 3"]
    vertices: Float[Array, "v 2"]
    half_depth: float
    radius: float = 0.0
    rotation: Float[Array, "3 3"] = field(default_factory=lambda: _IDENTITY)

    def distance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Signed distance, exact everywhere."""
        local = (points - self.centre) @ self.rotation
        flat = polygon_distance(local[:, :2], self.vertices)
        deep = np.abs(local[:, 2]) - self.half_depth
        outside = np.hypot(np.maximum(flat, 0.0), np.maximum(deep, 0.0))
        return outside + np.minimum(np.maximum(flat, deep), 0.0) - self.radius

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """Points on the caps, on the sides, and on the rims between them, all grown."""
        outline, areas = Outline.of(self.vertices), self._areas()
        counts = rng.multinomial(num, areas / areas.sum())
        num_pieces = len(outline.turn)
        piece = np.repeat(np.tile(np.arange(num_pieces), 2), counts[1:])
        is_rim = np.repeat(np.arange(2 * num_pieces) >= num_pieces, counts[1:])
        place, direction = outline.at(piece, rng.uniform(size=len(piece)))
        # About an edge a rim is a half cylinder, even in the angle; about a vertex part of a ball.
        level = rng.uniform(-1.0, 1.0, len(piece))
        sine = np.where(outline.is_vertex[piece], level, np.sin(0.5 * np.pi * level))
        sine = np.where(is_rim, sine, 0.0)
        cosine = np.sqrt(1 - sine**2)[:, None]
        depth = self.half_depth * np.where(is_rim, np.sign(level), level) + self.radius * sine
        around = np.column_stack([place + self.radius * cosine * direction, depth])
        low, high = self.vertices.min(0), self.vertices.max(0)
        tries = rng.uniform(low, high, (int(counts[0]), 2))
        inner = tries[polygon_distance(tries, self.vertices) < 0]
        cap = (self.half_depth + self.radius) * rng.choice([-1.0, 1.0], len(inner))
        local = np.concatenate([np.column_stack([inner, cap]), around])
        return local @ self.rotation.T + self.centre

    def area(self) -> float:
        """Area of the caps' boxes, of the sides and of the rims."""
        return float(self._areas().sum())

    def _areas(self) -> Float[Array, " m"]:
        """Of the boxes of both caps, of each piece's side, and of each piece's rims."""
        outline, r = Outline.of(self.vertices), self.radius
        box = float(np.prod(np.ptp(self.vertices, axis=0)))
        along, about = outline.lengths, outline.angles
        sides = 2 * self.half_depth * (along + r * about)
        return np.concatenate([[2 * box], sides, r * (np.pi * along + 2 * r * about)])

    def corners(self) -> Float[Array, "k 3"]:
        """All vertices at both depths, grown by the radius along each axis."""
        flat = np.repeat(self.vertices, 2, axis=0)
        depth = np.tile([-self.half_depth, self.half_depth], len(self.vertices))
        world = np.column_stack([flat, depth]) @ self.rotation.T + self.centre
        return np.concatenate([world - self.radius, world + self.radius])

    def scaled(self, scale: float, shift: Float[Array, " 3"]) -> Extrusion:
        """The extrusion after p -> scale * (p + shift)."""
        return replace(
            self,
            centre=(self.centre + shift) * scale,
            vertices=self.vertices * scale,
            half_depth=self.half_depth * scale,
            radius=self.radius * scale,
        )


@dataclass(frozen=True)
class Revolution:
    """Profile in the half plane (rho, y), turned about the local y axis, grown by `radius`.

    An open profile starts and ends on the axis (rho = 0) and bounds a solid of revolution; a
    closed one is a ring that never touches the axis.
    """

    centre: Float[Array, " 3"]
    profile: Float[Array, "v 2"]
    closed: bool = False
    radius: float = 0.0
    rotation: Float[Array, "3 3"] = field(default_factory=lambda: _IDENTITY)

    def distance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Signed distance, exact everywhere."""
        local = (points - self.centre) @ self.rotation
        flat = np.column_stack([np.hypot(local[:, 0], local[:, 2]), local[:, 1]])
        return polygon_distance(flat, self._polygon()) - self.radius

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """Points on the turned pieces of the outline, as many as they are far from the axis."""
        outline, areas = Outline.of(self._polygon()), self._areas()
        piece = rng.choice(len(areas), num, p=areas / areas.sum())
        place, direction = outline.at(piece, rng.uniform(size=num))
        flat = place + self.radius * direction
        kept = rng.uniform(size=num) * self._reach(outline)[piece] < flat[:, 0]
        flat, turn = flat[kept], rng.uniform(0, 2 * np.pi, int(kept.sum()))
        local = np.column_stack([flat[:, 0] * np.cos(turn), flat[:, 1], flat[:, 0] * np.sin(turn)])
        return local @ self.rotation.T + self.centre

    def area(self) -> float:
        """Area of the turned pieces, each as far from the axis as its farthest point."""
        return float(self._areas().sum())

    def corners(self) -> Float[Array, "k 3"]:
        """Boxes of the circles that the profile's vertices run through."""
        spread = np.sqrt(np.maximum(1.0 - self.rotation[:, 1] ** 2, 0.0))
        middle = self.centre + self.profile[:, 1:] * self.rotation[:, 1]
        reach = self.profile[:, :1] * spread + self.radius
        return np.concatenate([middle - reach, middle + reach])

    def scaled(self, scale: float, shift: Float[Array, " 3"]) -> Revolution:
        """The revolution after p -> scale * (p + shift)."""
        return replace(
            self,
            centre=(self.centre + shift) * scale,
            profile=self.profile * scale,
            radius=self.radius * scale,
        )

    def _polygon(self) -> Float[Array, "w 2"]:
        """The profile, closed."""
        if self.closed:
            return self.profile
        # The mirrored half closes the polygon without an edge along the axis, which would count as
        # surface for points deep inside.
        return np.concatenate([self.profile, (self.profile * [-1.0, 1.0])[::-1]])

    def _reach(self, outline: Outline) -> Float[Array, " m"]:
        """Bound of the distance of each piece's points from the axis, at least 0."""
        index = np.arange(len(outline.turn))
        ends = [outline.at(index, np.full(len(index), u)) for u in (0.0, 1.0)]
        moved = [place[:, 0] + self.radius * direction[:, 0] for place, direction in ends]
        beyond = outline.start[:, 0] + self.radius
        reach = np.where(outline.is_vertex, beyond, np.maximum(*moved))
        return np.maximum(reach, 0.0)

    def _areas(self) -> Float[Array, " m"]:
        """Of each piece, were all of it as far from the axis as its farthest point."""
        outline = Outline.of(self._polygon())
        ways = outline.lengths + self.radius * outline.angles
        return 2 * np.pi * ways * self._reach(outline)


def _unit(vectors: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _linear(first: float, last: float, share: Float[Array, " n"]) -> Float[Array, " n"]:
    """Inverse distribution of a density on [0, 1] that is linear from `first` to `last`."""
    root = np.sqrt(first**2 + share * (last**2 - first**2))
    return share * (first + last) / (first + root)


def union_distance(solids: Sequence[Solid], points: Float[Array, "n 3"]) -> Float[Array, " n"]:
    """Signed distance to the union: exact outside and on the surface, a bound inside."""
    distance = solids[0].distance(points)
    for solid in solids[1:]:
        distance = np.minimum(distance, solid.distance(points))
    return distance


def gradient(solids: Sequence[Solid], points: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """Unit outward direction of the union's distance by central differences."""
    offsets = np.concatenate([np.eye(3), -np.eye(3)]) * _GRADIENT_STEP
    values = union_distance(solids, (points[None] + offsets[:, None]).reshape(-1, 3))
    values = values.reshape(6, len(points))
    slope = (values[:3] - values[3:]).T
    return slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12)


def sample_surface(
    solids: Sequence[Solid], num: int, rng: np.random.Generator
) -> tuple[Float[Array, "n 3"], Float[Array, "n 3"]]:
    """Points on the union's surface, uniform in area, with unit outward normals.

    Where surfaces of two solids coincide, they count once, and not at all where they touch.
    """
    area = np.array([solid.area() for solid in solids])
    share = area / area.sum()
    points: list[Array] = []
    normals: list[Array] = []
    found = 0
    while found < num:
        for i, count in enumerate(rng.multinomial(int(1.5 * (num - found)) + 64, share)):
            if count == 0:
                continue
            candidates = solids[i].surface(int(count), rng)
            outward = gradient(solids[i : i + 1], candidates)
            seen = _is_outside(solids, i, candidates + _OUTSIDE * outward)
            points.append(candidates[seen])
            normals.append(outward[seen])
            found += int(seen.sum())
    order = rng.permutation(found)[:num]
    return np.concatenate(points)[order], np.concatenate(normals)[order]


def _is_outside(
    solids: Sequence[Solid], own: int, points: Float[Array, "n 3"]
) -> Bool[Array, " n"]:
    """Whether points just above the surface of one of the solids are outside all of them.

    Above a surface that is an earlier solid's, too, they are not.
    """
    outside = solids[own].distance(points) > 0.5 * _OUTSIDE
    for i, solid in enumerate(solids):
        if i != own:
            outside &= solid.distance(points) > (1.5 * _OUTSIDE if i < own else 0.0)
    return outside


def normalise(solids: Sequence[Solid]) -> list[Solid]:
    """Centre the bounding box and scale the longest half extent to 1."""
    corners = np.concatenate([solid.corners() for solid in solids])
    centre, half = box_of(corners)
    return [solid.scaled(1.0 / float(half), -centre) for solid in solids]
