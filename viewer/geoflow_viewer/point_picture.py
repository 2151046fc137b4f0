"""Pictures of point clouds without a display, a driver or a GPU: shaded discs, nearest on top."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from geoflow_viewer.projection import COLOUR, EXTENT, SUPERSAMPLING, project, shrink, view_rotation

# Discs of far points are paler, down to this share of the colour.
_FAR = 0.65


def cutout_points(
    points: Float[np.ndarray, "n 3"],
    *,
    size: int,
    azimuth: float,
    elevation: float,
    extent: float = EXTENT,
    radius: float = 0.012,
    colours: Float[np.ndarray, "n 3"] | None = None,
) -> Float[np.ndarray, "h w 4"]:
    """Points on nothing: colours, in [0, 1] and times what they cover, and how much that is.

    Args:
        points: in normalised units.
        size: pixels along an edge of the picture.
        azimuth: degrees about +Y from the front (+Z).
        elevation: degrees above the horizon.
        extent: half edge of the picture in the points' units.
        radius: of a point's disc, in the points' units.
        colours: of the points, in [0, 1]; default: blue.
    """
    pixels = size * SUPERSAMPLING
    image = np.zeros((pixels * pixels, 4))
    if len(points):
        flat, depth = project(points, view_rotation(azimuth, elevation), pixels, extent)
        reach = max(radius / extent * pixels / 2, 1.0)
        steps = np.arange(-int(reach), int(reach) + 1)
        across, down = (grid.ravel() for grid in np.meshgrid(steps, steps))
        inner = across**2 + down**2 <= reach**2
        offsets = np.column_stack([across, down])[inner]
        column, row = (np.floor(flat).astype(np.int64)[:, None] + offsets).reshape(-1, 2).T
        inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
        index = (row * pixels + column)[inside]
        shade = faded(COLOUR if colours is None else colours, depth)
        depths = np.repeat(depth, len(offsets))[inside]
        # Sorted from far to near, the last write to a pixel is the nearest disc's.
        order = np.argsort(depths, kind="stable")
        image[index[order], :3] = np.repeat(shade, len(offsets), axis=0)[inside][order]
        image[index, 3] = 1.0
    return shrink(image, size)


def faded(colours: Float[np.ndarray, "*n 3"], depth: Float[np.ndarray, " m"]) -> np.ndarray:
    """Colours (m, 3) of points that are paler the farther they are; depth grows towards us."""
    near = np.clip((depth + 1) / 2, 0, 1)
    return 1 - (1 - colours) * (_FAR + (1 - _FAR) * near)[:, None]
