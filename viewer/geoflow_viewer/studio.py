"""The studio in which pictures to share are taken: a dome of light, and a shadow on the ground.

A place is darker by the share of the dome that the shape hides from it. The dome's directions are
the same for every shape, so that equal shapes have equal pictures; they are followed once a shape,
whatever the number of its views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates

from geoflow.geometry.mesh import vertex_colours
from geoflow_viewer.projection import COLOUR, EXTENT, MARGIN, over, view_rotation

Shape: TypeAlias = trimesh.Trimesh | trimesh.PointCloud
Colour: TypeAlias = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
_DIRECTIONS = 160
# Of what is hidden from the dome, on the shape and on the ground.
_SELF_SHADE, _GROUND_SHADE = 0.60, 0.50
# Meshes of more vertices shade the ground alone.
_MOST_VERTICES = 200_000
_CELLS, _REACH = 96, 2.0
# The shadow is gone where a picture ends.
_FADE_FROM, _FADE_TO = 0.9, 1.35
# Cells.
_SOFTNESS = 1.6
_LIFT = 2e-3


@dataclass(frozen=True)
class Stage:
    """What a shape stands on."""

    background: Colour = WHITE
    """Levels of red, green and blue, of 255."""


@dataclass(frozen=True)
class Ground:
    """The plane below a shape, and how much of the dome it does not see."""

    height: float
    hidden: Float[np.ndarray, "n n"]
    """At (z, x), evenly from -2 to 2."""

    def shade(self, size: int, *, azimuth: float, elevation: float) -> Float[np.ndarray, "h w"]:
        """Darkness of the ground in a picture, from 0; none where the ground is not seen."""
        view = view_rotation(azimuth, elevation)
        if view[2, 1] < 0.05:
            return np.zeros((size, size))
        middle = ((np.arange(size) + 0.5) / size * 2 - 1) * EXTENT / MARGIN
        right, up = np.meshgrid(middle, -middle)
        towards = (self.height - up * view[1, 1]) / view[2, 1]
        places = right[..., None] * view[0] + up[..., None] * view[1] + towards[..., None] * view[2]
        cell = (places[..., [2, 0]] / _REACH + 1) / 2 * (_CELLS - 1)
        return map_coordinates(self.hidden, cell.transpose(2, 0, 1), order=1, mode="constant")


def lit(shape: Shape) -> Shape:
    """A mesh whose colours are darker where it hides the dome from itself; a cloud as it is."""
    if isinstance(shape, trimesh.PointCloud) or not 0 < len(shape.vertices) <= _MOST_VERTICES:
        return shape
    hidden = _hidden_at(shape, np.asarray(shape.vertex_normals))
    if not shape.is_watertight:
        # Faces of an open surface may be turned either way; what is lit is the outside.
        hidden = np.minimum(hidden, _hidden_at(shape, -np.asarray(shape.vertex_normals)))
    own = vertex_colours(shape)
    colours = (COLOUR if own is None else own) * (1 - _SELF_SHADE * hidden)[:, None]
    return trimesh.Trimesh(
        shape.vertices, shape.faces, vertex_normals=shape.vertex_normals, process=False,
        vertex_colors=np.clip(255 * colours, 0, 255).round().astype(np.uint8),
    )  # fmt: skip


def ground_below(shape: Shape) -> Ground:
    """The ground that a shape stands on."""
    vertices = np.asarray(shape.vertices)
    height = float(vertices[:, 1].min()) - _LIFT
    axis = np.linspace(-_REACH, _REACH, _CELLS)
    z, x = np.meshgrid(axis, axis, indexing="ij")
    places = np.column_stack([x.ravel(), np.full(x.size, height), z.ravel()])
    above = [d for d in _dome() if d[1] > 0.1]
    hidden = np.zeros(x.size)
    if isinstance(shape, trimesh.PointCloud):
        for direction in above:
            hidden += direction[1] * _covered(vertices, direction, height)
    else:
        tracer = _tracer(shape)
        for direction in above:
            hidden += direction[1] * _is_hidden(tracer, places, direction)
    grid = gaussian_filter(hidden.reshape(x.shape) / sum(d[1] for d in above), _SOFTNESS)
    fade = np.clip((_FADE_TO - np.hypot(x, z)) / (_FADE_TO - _FADE_FROM), 0, 1)
    return Ground(height, _GROUND_SHADE * grid * fade**2 * (3 - 2 * fade))


class Set:
    """A shape in the studio.

    Args:
        shape: in normalised units; None: an empty stage.
        stage: what it stands on.

    Attributes:
        shape: as it is lit.
    """

    def __init__(self, shape: Shape | None, stage: Stage) -> None:
        is_there = shape is not None and len(shape.vertices) > 0
        self.shape = lit(shape) if shape is not None and is_there else None
        self._ground = ground_below(shape) if shape is not None and is_there else None
        self._background = np.asarray(stage.background) / 255

    def picture(
        self,
        cutout: Float[np.ndarray, "h w 4"] | None,
        *,
        size: int,
        azimuth: float,
        elevation: float,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The shape, cut out of what a renderer drew, before its shadow and the background."""
        behind = np.broadcast_to(self._background, (size, size, 3))
        if self._ground is not None:
            shade = self._ground.shade(size, azimuth=azimuth, elevation=elevation)
            behind = behind * (1 - shade)[..., None]
        return over(np.zeros((size, size, 4)) if cutout is None else cutout, behind)


def _dome() -> Float[np.ndarray, "d 3"]:
    """Directions spread over the sphere by the golden angle, and alike from all four sides."""
    count = _DIRECTIONS // 4
    index = np.arange(count) + 0.5
    up = 1 - 2 * index / count
    turn = np.pi * (1 + 5**0.5) * index
    across = np.sqrt(1 - up**2)
    x, z = across * np.cos(turn), across * np.sin(turn)
    sides = [(x, z), (-z, x), (-x, -z), (z, -x)]
    return np.concatenate([np.column_stack([a, up, b]) for a, b in sides])


def _hidden_at(mesh: trimesh.Trimesh, normals: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, " v"]:
    """Share of the dome before each vertex that the mesh hides; what is above counts more."""
    tracer, places = _tracer(mesh), np.asarray(mesh.vertices) + _LIFT * normals
    hidden, whole = np.zeros(len(places)), np.full(len(places), 1e-9)
    for direction in _dome():
        weight = np.clip(normals @ direction, 0, None) * (0.4 + 0.6 * max(direction[1], 0.0))
        faces_it = weight > 0
        whole += weight
        hidden[faces_it] += weight[faces_it] * _is_hidden(tracer, places[faces_it], direction)
    return hidden / whole


def _covered(
    points: Float[np.ndarray, "n 3"], direction: Float[np.ndarray, "3"], height: float
) -> Float[np.ndarray, " c"]:
    """Cells of the ground on which a cloud's points fall, against a direction."""
    fallen = points - (points[:, 1:2] - height) / direction[1] * direction
    edges = np.linspace(-_REACH, _REACH, _CELLS + 1)
    count, _, _ = np.histogram2d(fallen[:, 2], fallen[:, 0], bins=(edges, edges))
    return np.minimum(count, 1.0).ravel()


def _tracer(mesh: trimesh.Trimesh) -> object:
    import point_cloud_utils as pcu

    return pcu.RayMeshIntersector(
        np.ascontiguousarray(mesh.vertices, dtype=np.float64),
        np.ascontiguousarray(mesh.faces, dtype=np.int64),
    )


def _is_hidden(
    tracer: object, places: Float[np.ndarray, "n 3"], direction: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " n"]:
    if len(places) == 0:
        return np.zeros(0)
    rays = np.tile(direction, (len(places), 1))
    _, _, distance = tracer.intersect_rays(np.ascontiguousarray(places), rays)  # type: ignore[attr-defined]
    return np.isfinite(distance).astype(float)
