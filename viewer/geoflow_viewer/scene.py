"""What is drawn of a result: layers of arrays, the same for every face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import trimesh
from jaxtyping import Float, Float32, Int, UInt8

from geoflow.geometry.simplification import decimate
from geoflow_viewer.items import SLICE_BOUND, Item, Result
from geoflow_viewer.state import State, visible

SPACING = 2.4
"""Between the centres of neighbouring shapes in a row."""
ROW_SPACING = 2.8
"""Between rows: labels stand between them."""
BLUE, INK, ORANGE = (117, 153, 219), (45, 55, 80), (236, 128, 48)
_NUM_POINTS = 4096
_WIRE_FACES = 1500
_POINT_RADIUS, _LATENT_RADIUS, _WIRE_RADIUS = 0.012, 0.04, 0.004
# The latent's vectors are a few units long; so drawn, they stand around the shape.
_LATENT_SCALE = 0.4
_CONTOUR = 0.1

Colours: TypeAlias = UInt8[np.ndarray, "n 3"]


@dataclass(frozen=True)
class MeshLayer:
    """Triangles with a colour per vertex; flat ones glow alike from all sides."""

    name: str
    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "f 3"]
    colours: Colours
    is_flat: bool = False


@dataclass(frozen=True)
class PointsLayer:
    """Points as small balls."""

    name: str
    points: Float[np.ndarray, "n 3"]
    colours: Colours
    radius: float


@dataclass(frozen=True)
class SegmentsLayer:
    """Straight segments."""

    name: str
    segments: Float[np.ndarray, "n 2 3"]
    colours: Colours
    radius: float


Layer: TypeAlias = MeshLayer | PointsLayer | SegmentsLayer


@dataclass(frozen=True)
class Tile:
    """One shape of a scene: its label, its layers about the origin, and its place in the grid."""

    label: str
    layers: tuple[Layer, ...]
    column: float
    row: float

    def offset(
        self, right: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "3"]:
        """Centre of the tile, for a camera whose picture has these axes.

        Every tile then shows its shape from the same side, however the camera turns.
        """
        return SPACING * self.column * right + ROW_SPACING * self.row * up


def tiles(
    result: Result,
    state: State,
    *,
    columns: int | None = None,
    colour: Sequence[int] | None = None,
) -> list[Tile]:
    """Everything to draw, in a grid about the origin.

    Args:
        result: shapes.
        state: what is shown of them.
        columns: of the grid; default: one row of up to four shapes, else three columns.
        colour: of surfaces and points, red, green and blue of 255; default: blue surfaces, and
            points in their own colours or by height.
    """
    count = len(result.items)
    if columns is None:
        columns = count if count <= 4 else 3
    rows = -(-count // columns)
    return [
        Tile(
            item.label,
            tuple(layers(item, state, colour)),
            i % columns - (columns - 1) / 2,
            (rows - 1) / 2 - i // columns,
        )
        for i, item in enumerate(result.items)
    ]


def layers(item: Item, state: State, colour: Sequence[int] | None = None) -> list[Layer]:
    """The layers of one shape that a state shows, or of its own form; none where it is empty."""
    found: list[Layer] = []
    show = visible(state.show, item.shows)
    mesh, cut = item.mesh, "slice" in show
    if mesh is not None and "mesh" in show:
        shown = mesh
        if cut:
            # Half of the surface is taken away: the slice lies within the shape.
            shown = mesh.copy()
            shown.update_faces(mesh.triangles_center[:, 0] <= state.slice)
            shown.remove_unreferenced_vertices()
        if len(shown.faces):
            found.append(mesh_layer("mesh", shown, colour or BLUE))
    if mesh is not None and "wireframe" in show:
        found.append(_wireframe(mesh))
    if "points" in show:
        points, colours = _points(item)
        if colour is not None:
            colours = _one(colour, len(points))
        found.append(PointsLayer("points", points, colours, _POINT_RADIUS))
    if item.latent is not None and "latent" in show:
        place = _LATENT_SCALE * item.latent
        token = np.arange(len(place)) / max(len(place) - 1, 1)
        found.append(PointsLayer("latent", place, _ramp(token), _LATENT_RADIUS))
    if item.slice is not None and cut:
        found.append(_slice(item.slice, state.slice))
    return found


def mesh_layer(name: str, mesh: trimesh.Trimesh, colour: Sequence[int] = BLUE) -> MeshLayer:
    """A mesh in one colour."""
    return MeshLayer(
        name, np.asarray(mesh.vertices), np.asarray(mesh.faces), _one(colour, len(mesh.vertices))
    )


def solid(layer: Layer) -> trimesh.Trimesh:
    """A layer as coloured triangles, for pictures and files that draw nothing else.

    A point becomes an icosahedron, a segment a prism of three sides.
    """
    if isinstance(layer, MeshLayer):
        return _coloured(layer.vertices, layer.faces, layer.colours)
    if isinstance(layer, PointsLayer):
        ball = trimesh.creation.icosphere(subdivisions=0, radius=layer.radius)
        template, corners = np.asarray(ball.vertices), np.asarray(ball.faces)
        vertices = (layer.points[:, None] + template).reshape(-1, 3)
        count = len(layer.points)
    else:
        start, end = layer.segments[:, 0], layer.segments[:, 1]
        along = end - start
        # Any direction across a segment serves: the axis to which it is least parallel.
        axis = np.eye(3)[np.abs(along).argmin(1)]
        first = _unit(np.cross(along, axis))
        second = _unit(np.cross(along, first))
        turns = 2 * np.pi * np.arange(3) / 3
        ring = layer.radius * (
            np.cos(turns)[None, :, None] * first[:, None]
            + np.sin(turns)[None, :, None] * second[:, None]
        )
        vertices = np.concatenate([start[:, None] + ring, end[:, None] + ring], 1).reshape(-1, 3)
        corners = np.array(
            [[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4], [2, 0, 3], [2, 3, 5], [0, 2, 1], [3, 4, 5]]
        )
        template, count = np.zeros((6, 3)), len(layer.segments)
    faces = (corners[None] + len(template) * np.arange(count)[:, None, None]).reshape(-1, 3)
    return _coloured(vertices, faces, np.repeat(layer.colours, len(template), axis=0))


def _points(item: Item) -> tuple[Float[np.ndarray, "n 3"], Colours]:
    """Points of a cloud, or of a mesh's surface; in their own colours, or by height.

    Those that a solid was made of have one colour, which stands out from its own.
    """
    if item.cloud is not None:
        points = item.cloud[:, :3]
        if item.mesh is not None:
            return points, _one(ORANGE, len(points))
        if "color" in item.channels:
            first = 3 * item.channels.index("color")
            own = item.cloud[:, first : first + 3].clip(0, 1)
            return points, (255 * own).round().astype(np.uint8)
    else:
        assert item.mesh is not None
        drawn, _ = trimesh.sample.sample_surface(item.mesh, _NUM_POINTS, seed=0)
        points = np.asarray(drawn)
    height = points[:, 1]
    low, high = height.min(), height.max()
    return points, _ramp((height - low) / max(high - low, 1e-9))


def _wireframe(mesh: trimesh.Trimesh) -> SegmentsLayer:
    # Marching cubes makes more edges than eyes can tell apart.
    simple = decimate(mesh, _WIRE_FACES)
    segments = np.asarray(simple.vertices)[simple.edges_unique]
    return SegmentsLayer("wireframe", segments, _one(INK, len(segments)), _WIRE_RADIUS)


def _slice(values: Float32[np.ndarray, "n n"], x: float) -> MeshLayer:
    size = len(values)
    axis = np.linspace(-SLICE_BOUND, SLICE_BOUND, size)
    y, z = np.meshgrid(axis, axis, indexing="ij")
    vertices = np.stack([np.full_like(y, x), y, z], -1).reshape(-1, 3)
    corner = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).reshape(-1, 1)
    faces = np.concatenate([corner + np.array(c) for c in ([0, size, size + 1], [0, size + 1, 1])])
    return MeshLayer("slice", vertices, faces, _distance_colours(values).reshape(-1, 3), True)


def _distance_colours(values: Float32[np.ndarray, "n n"]) -> UInt8[np.ndarray, "n n 3"]:
    """Blue inside, sand outside, paler with distance, banded every tenth, dark at the surface."""
    inside = np.array([70.0, 110.0, 200.0])
    outside = np.array([230.0, 150.0, 70.0])
    near = np.exp(-2.0 * np.abs(values))[..., None]
    colour = np.where(values[..., None] < 0, inside, outside) * near + 245.0 * (1 - near)
    band = 0.93 + 0.07 * np.cos(2 * np.pi * values / _CONTOUR)[..., None]
    colour = colour * band
    at_surface = np.abs(values) < 0.012
    colour[at_surface] = INK
    return np.clip(colour, 0, 255).astype(np.uint8)


def _ramp(share: Float[np.ndarray, " n"]) -> Colours:
    """Blue over teal to orange."""
    stops = np.array([[50.0, 85.0, 190.0], [60.0, 165.0, 180.0], [240.0, 150.0, 60.0]])
    mixed = [np.interp(share, [0.0, 0.5, 1.0], channel) for channel in stops.T]
    return np.stack(mixed, axis=1).round().astype(np.uint8)


def _one(colour: Sequence[int], count: int) -> Colours:
    return np.tile(np.array(colour, np.uint8), (count, 1))


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _coloured(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "f 3"], colours: Colours
) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, faces, vertex_colors=colours, process=False)
