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
from jaxtyping import Float

from geoflow.geometry.box import box_of

Array = np.ndarray
_IDENTITY = np.eye(3)
_GRADIENT_STEP = 1e-4


@runtime_checkable
class Solid(Protocol):
    """A placed solid: distance, a sampler of its surface, its box, and rigid similarity."""

    def distance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Signed distance in world length units, negative inside."""

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """Points near the surface, about uniform in area, before projection."""

    def area(self) -> float:
        """Approximate surface area, to share samples between solids."""

    def corners(self) -> Float[Array, "k 3"]:
        """Points whose bounding box contains the solid tightly for axis-aligned poses."""

    def scaled(self, scale: float, shift: Float[Array, " 3"]) -> Solid:
        """The solid after p -> scale * (p + shift)."""


@dataclass(frozen=True)
class RoundBox:
    """Box of half extents `half`, its edges rounded by `radius` (included in `half`)."""

    centre: Float[Array, " 3"]
    half: Float[Array, " 3"]
    radius: float = 0.0
    rotation: Float[Array, "3 3"] = field(default_factory=lambda: _IDENTITY)

    def distance(self, points: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Signed distance, exact everywhere."""
        q = np.abs((points - self.centre) @ self.rotation) - (self.half - self.radius)
        outside = np.sqrt((np.maximum(q, 0.0) ** 2).sum(-1))
        return outside + np.minimum(q.max(-1), 0.0) - self.radius

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """Points on the six faces of the box."""
        face_area = np.array([self.half[(i + 1) % 3] * self.half[(i + 2) % 3] for i in range(3)])
        axis = rng.choice(3, size=num, p=face_area / face_area.sum())
        local = rng.uniform(-1.0, 1.0, (num, 3))
        local[np.arange(num), axis] = rng.choice([-1.0, 1.0], num)
        return (local * self.half) @ self.rotation.T + self.centre

    def area(self) -> float:
        """Area of the sharp box."""
        x, y, z = self.half
        return float(8.0 * (x * y + y * z + z * x))

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
        length = float(np.linalg.norm(axis))
        slope = (self.radius_start - self.radius_end) / length
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
        """Points around the axis and over both end balls."""
        length = float(np.linalg.norm(self.end - self.start))
        ends = np.array([self.radius_start, self.radius_end])
        weights = np.array([2 * ends[0] ** 2, 2 * ends[1] ** 2, length * ends.mean() * 2])
        part = rng.choice(3, size=num, p=weights / weights.sum())
        u = np.where(part == 0, 0.0, np.where(part == 1, 1.0, rng.uniform(size=num)))[:, None]
        radius = ends[0] + (ends[1] - ends[0]) * u
        direction = rng.normal(size=(num, 3))
        axis = (self.end - self.start) / length
        along = (direction @ axis)[:, None]
        direction = np.where(part[:, None] == 2, direction - along * axis, direction)
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        return self.start + u * (self.end - self.start) + radius * direction

    def area(self) -> float:
        """Area of the cone's side and the two half balls."""
        r0, r1 = self.radius_start, self.radius_end
        length = float(np.linalg.norm(self.end - self.start))
        return float(np.pi * (r0 + r1) * length + 2 * np.pi * (r0 * r0 + r1 * r1))

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


def polygon_distance(
    points: Float[Array, "n 2"], vertices: Float[Array, "v 2"]
) -> Float[Array, " n"]:
    """Signed distance to a simple closed polygon in the plane, negative inside."""
    squared = np.full(len(points), np.inf)
    sign = np.ones(len(points))
    for a, b in zip(vertices, np.roll(vertices, 1, axis=0), strict=True):
        edge, relative = b - a, points - a
        u = np.clip(relative @ edge / max(float(edge @ edge), 1e-18), 0.0, 1.0)
        squared = np.minimum(squared, ((relative - u[:, None] * edge) ** 2).sum(-1))
        above, below = points[:, 1] >= a[1], points[:, 1] < b[1]
        left = edge[0] * relative[:, 1] > edge[1] * relative[:, 0]
        crossing = (above & below & left) | (~above & ~below & ~left)
        sign = np.where(crossing, -sign, sign)
    return sign * np.sqrt(squared)


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
        """Points on the sides, and on the two caps by rejection from the polygon's box."""
        edges = np.roll(self.vertices, -1, axis=0) - self.vertices
        lengths = np.linalg.norm(edges, axis=-1)
        side, cap = lengths.sum() * 2 * self.half_depth, 2 * self._polygon_area()
        num_side = int(rng.binomial(num, side / (side + cap)))
        index = rng.choice(len(edges), num_side, p=lengths / lengths.sum())
        flat = self.vertices[index] + edges[index] * rng.uniform(size=(num_side, 1))
        depth = rng.uniform(-1.0, 1.0, num_side) * self.half_depth
        low, high = self.vertices.min(0), self.vertices.max(0)
        tries = rng.uniform(low, high, (4 * (num - num_side) + 64, 2))
        inner = tries[polygon_distance(tries, self.vertices) < 0][: num - num_side]
        cap_depth = self.half_depth * rng.choice([-1.0, 1.0], len(inner))
        local = np.concatenate(
            [np.column_stack([flat, depth]), np.column_stack([inner, cap_depth])]
        )
        return _spread(local, self.radius, rng) @ self.rotation.T + self.centre

    def area(self) -> float:
        """Area of sides and caps, without the rounding."""
        edges = np.roll(self.vertices, -1, axis=0) - self.vertices
        around = float(np.linalg.norm(edges, axis=-1).sum())
        return 2 * self._polygon_area() + around * 2 * (self.half_depth + self.radius)

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

    def _polygon_area(self) -> float:
        x, y = self.vertices.T
        return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


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
        outline = self.profile
        if not self.closed:
            # The mirrored half closes the polygon without an edge along the axis, which would
            # count as surface for points deep inside.
            outline = np.concatenate([outline, (outline * [-1.0, 1.0])[::-1]])
        return polygon_distance(flat, outline) - self.radius

    def surface(self, num: int, rng: np.random.Generator) -> Float[Array, "n 3"]:
        """Points on the turned edges, weighted by their distance to the axis."""
        edges, weight = self._edges()
        index = rng.choice(len(edges), num, p=weight / weight.sum())
        start, edge = self.profile[index], edges[index]
        a, b = start[:, 0], start[:, 0] + edge[:, 0]
        # Inverse CDF of a density linear in u, from a to b: uniform in area on a cone.
        v = rng.uniform(size=num)
        u = np.where(
            np.abs(b - a) < 1e-9,
            v,
            (np.sqrt(a * a + v * (b * b - a * a)) - a) / np.where(np.abs(b - a) < 1e-9, 1, b - a),
        )
        flat, turn = start + edge * u[:, None], rng.uniform(0, 2 * np.pi, num)
        local = np.column_stack([flat[:, 0] * np.cos(turn), flat[:, 1], flat[:, 0] * np.sin(turn)])
        return _spread(local, self.radius, rng) @ self.rotation.T + self.centre

    def area(self) -> float:
        """Area of the turned edges."""
        return float(2 * np.pi * self._edges()[1].sum())

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

    def _edges(self) -> tuple[Array, Array]:
        edges = np.roll(self.profile, -1, axis=0) - self.profile
        weight = np.linalg.norm(edges, axis=-1) * (self.profile[:, 0] + edges[:, 0] / 2)
        if not self.closed:
            weight[-1] = 0.0
        return edges, weight


def _spread(
    points: Float[Array, "n 3"], radius: float, rng: np.random.Generator
) -> Float[Array, "n 3"]:
    """Points off the sharp solid, so that projection reaches its rounded edges too."""
    return points + radius * rng.normal(size=points.shape)


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
    """Points on the union's surface, about uniform in area, with unit outward normals."""
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
            for _ in range(2):
                step = solids[i].distance(candidates)[:, None]
                candidates = candidates - step * gradient(solids[i : i + 1], candidates)
            outer = np.abs(union_distance(solids, candidates)) < 1e-4
            points.append(candidates[outer])
            normals.append(gradient(solids[i : i + 1], candidates[outer]))
            found += int(outer.sum())
    order = rng.permutation(found)[:num]
    return np.concatenate(points)[order], np.concatenate(normals)[order]


def normalise(solids: Sequence[Solid]) -> list[Solid]:
    """Centre the bounding box and scale the longest half extent to 1."""
    corners = np.concatenate([solid.corners() for solid in solids])
    centre, half = box_of(corners)
    return [solid.scaled(1.0 / float(half), -centre) for solid in solids]
