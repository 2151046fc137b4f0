"""How software pictures look at a scene: an orthographic view, supersampled, +Y up."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

SUPERSAMPLING = 2
COLOUR = np.array([0.46, 0.60, 0.86])
"""Of shapes that bring none."""
MARGIN = 0.92
EXTENT = 1.25
"""Half edge of a picture in the shapes' units, before its margin."""


def view_rotation(azimuth: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    """Rows: right, up and towards us, for degrees about +Y from the front and above the horizon."""
    a, e = np.radians(azimuth), np.radians(elevation)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    tip = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
    return tip @ turn


def project(
    points: Float[np.ndarray, "n 3"], view: Float[np.ndarray, "3 3"], pixels: int, extent: float
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Columns and rows of points in a square picture of half edge `extent`, and their nearness."""
    turned = points @ view.T
    return (turned[:, :2] * [1, -1] * MARGIN / extent + 1) * 0.5 * pixels, turned[:, 2]


def shrink(image: Float[np.ndarray, "p c"], size: int) -> Float[np.ndarray, "h w c"]:
    """A supersampled picture at its size."""
    return image.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, -1).mean((1, 3))


def over(
    cutout: Float[np.ndarray, "h w 4"], behind: Float[np.ndarray, "h w 3"] | float
) -> UInt8[np.ndarray, "h w 3"]:
    """A cut-out picture, whose colours are multiplied by what they cover, before something."""
    image = cutout[..., :3] + (1 - cutout[..., 3:]) * behind
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
