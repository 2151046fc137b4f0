"""Where tiles stand before a camera that people turn, and how far it stands from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from geoflow_viewer.scene import Tile

FIELD_OF_VIEW = 30.0
"""Degrees, from top to bottom of the picture: narrow, so that outer tiles are not skewed."""
REACH = 1.45
"""Half extent of a tile with its label, from whatever side."""
LABEL_DROP = 1.22
"""From the centre of a tile down to its label."""
_FROM = np.array([1.9, 1.5, 2.9]) / np.linalg.norm([1.9, 1.5, 2.9])


def columns_of(count: int) -> int:
    """Columns of the most square grid of so many tiles."""
    return int(np.ceil(np.sqrt(count)))


def fit_distance(tiles: Sequence[Tile], *, aspect: float) -> float:
    """Distance from the centre at which a camera with FIELD_OF_VIEW sees all tiles whole.

    Args:
        tiles: in the plane of the picture.
        aspect: width of the picture over its height.
    """
    slope = np.tan(np.radians(FIELD_OF_VIEW) / 2)
    right, up = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    centres = [tile.offset(right, up) for tile in tiles] if len(tiles) > 1 else [np.zeros(3)]
    width, height, _ = np.abs(centres).max(0) + REACH
    # The nearest parts of a tile stand before the plane of the centres.
    return float(REACH + max(height / slope, width / (slope * max(aspect, 1e-3))))


def eye(distance: float) -> np.ndarray:
    """Where a camera stands that looks at the front from the right and above."""
    placed: np.ndarray = distance * _FROM
    return placed


def tile_at(
    tiles: Sequence[Tile],
    x: float,
    y: float,
    *,
    view: Float[np.ndarray, "4 4"],
    projection: Float[np.ndarray, "4 4"],
) -> int | None:
    """Index of the tile under a place of the picture, if there is one.

    Args:
        tiles: laid along the axes of this camera's picture.
        x: from -1, left, to 1, right.
        y: from -1, bottom, to 1, top.
        view: from the scene to the camera.
        projection: from the camera to the picture.
    """
    right, up = view[0, :3], view[1, :3]
    # A unit along the picture, and the centres, as the camera sees them.
    centres = np.array([tile.offset(right, up) for tile in tiles])
    marks = np.concatenate([centres, centres + REACH * right, centres + REACH * up])
    seen = np.column_stack([marks, np.ones(len(marks))]) @ view.T @ projection.T
    places = seen[:, :2] / seen[:, 3:]
    centre, side, top = np.split(places, 3)
    reach = np.column_stack([side[:, 0] - centre[:, 0], top[:, 1] - centre[:, 1]])
    away = np.abs(np.array([x, y]) - centre) / np.abs(reach)
    nearest = int(away.max(1).argmin())
    return nearest if away[nearest].max() <= 1.0 else None
