"""Closed outlines in the plane: signed distance, and points even along what grows of them.

An outline grown by a radius r is bounded by its edges, moved outward by r, and by arcs about its
vertices; where it is concave some of these lie inside what has grown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Array = np.ndarray
# Vertices nearer to each other than this are one.
_SAME = 1e-12


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


def polygon_area(vertices: Float[Array, "v 2"]) -> float:
    """Area of a closed polygon, positive where its vertices turn left."""
    x, y = vertices.T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


@dataclass(frozen=True)
class Outline:
    """Pieces of a polygon's border, by which it grows: first its edges, then its convex vertices.

    A piece is the way of a point `start + u * edge` with an outward direction at an angle of
    `first + u * turn`, u from 0 to 1: an edge has no turn, a vertex no edge.
    """

    start: Float[Array, "m 2"]
    edge: Float[Array, "m 2"]
    first: Float[Array, " m"]
    turn: Float[Array, " m"]

    @staticmethod
    def of(vertices: Float[Array, "v 2"]) -> Outline:
        """The pieces of a closed polygon that turns either way."""
        ways = np.roll(vertices, -1, axis=0) - vertices
        kept = vertices[np.hypot(*ways.T) > _SAME]
        edge = np.roll(kept, -1, axis=0) - kept
        side = np.sign(polygon_area(kept))
        normal = np.arctan2(-side * edge[:, 0], side * edge[:, 1])
        before = np.roll(edge, 1, axis=0)
        cross = before[:, 0] * edge[:, 1] - before[:, 1] * edge[:, 0]
        turn = np.arctan2(cross, (before * edge).sum(-1))
        convex = side * turn > 0
        none = np.zeros(len(kept))
        return Outline(
            np.concatenate([kept, kept[convex]]),
            np.concatenate([edge, np.zeros_like(edge[convex])]),
            np.concatenate([normal, np.roll(normal, 1)[convex]]),
            np.concatenate([none, turn[convex]]),
        )

    @property
    def is_vertex(self) -> Bool[Array, " m"]:
        """Which pieces are vertices."""
        return self.turn != 0

    @property
    def lengths(self) -> Float[Array, " m"]:
        """Of edges; 0 for vertices."""
        return np.hypot(*self.edge.T)

    @property
    def angles(self) -> Float[Array, " m"]:
        """By which vertices turn; 0 for edges."""
        return np.abs(self.turn)

    def at(
        self, piece: Int[Array, " n"], u: Float[Array, " n"]
    ) -> tuple[Float[Array, "n 2"], Float[Array, "n 2"]]:
        """Places on pieces, and the unit directions in which they grow."""
        angle = self.first[piece] + u * self.turn[piece]
        place = self.start[piece] + u[:, None] * self.edge[piece]
        return place, np.stack([np.cos(angle), np.sin(angle)], -1)
