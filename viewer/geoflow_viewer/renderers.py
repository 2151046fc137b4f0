"""Who draws pictures: Open3D's renderer where its drivers are, or the software of `picture`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from trimesh import PointCloud

from geoflow_viewer.offscreen import OffscreenUnavailableError, Open3DRenderer
from geoflow_viewer.picture import ELEVATION, Shape, cutout, render
from geoflow_viewer.studio import Set, Stage

# Of all pictures together, that Open3D is asked for unless it is named.
_MOST_PIXELS = 4_000_000


@runtime_checkable
class Renderer(Protocol):
    """Draws shapes from several sides."""

    def views(
        self,
        shapes: Sequence[Shape | None],
        azimuths: Sequence[float],
        *,
        size: int,
        elevation: float = ELEVATION,
        stage: Stage | None = None,
    ) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
        """A row of square pictures, one for each shape, for each azimuth.

        On white; or lit in a studio, with a shadow on the ground.
        """


class SoftwareRenderer:
    """Pictures by numpy, anywhere."""

    def views(
        self,
        shapes: Sequence[Shape | None],
        azimuths: Sequence[float],
        *,
        size: int,
        elevation: float = ELEVATION,
        stage: Stage | None = None,
    ) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
        """A row of square pictures, one for each shape, for each azimuth.

        On white; or lit in a studio, with a shadow on the ground.
        """
        if stage is None:
            return [
                [render(shape, size=size, azimuth=azimuth, elevation=elevation) for shape in shapes]
                for azimuth in azimuths
            ]
        sets = [Set(shape, stage) for shape in shapes]
        return [
            [_taken(each, size=size, azimuth=azimuth, elevation=elevation) for each in sets]
            for azimuth in azimuths
        ]


class AutoRenderer:
    """Pictures by Open3D where it draws, else by software, after saying so.

    Films and large pictures are the software's: without a GPU Open3D takes several times as long.
    So are clouds, whose points it draws round and smooth.

    Args:
        say: is told why Open3D does not draw, and what to install.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def views(
        self,
        shapes: Sequence[Shape | None],
        azimuths: Sequence[float],
        *,
        size: int,
        elevation: float = ELEVATION,
        stage: Stage | None = None,
    ) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
        """A row of square pictures, one for each shape, for each azimuth.

        On white; or lit in a studio, with a shadow on the ground.
        """
        software = SoftwareRenderer()
        are_clouds = all(shape is None or isinstance(shape, PointCloud) for shape in shapes)
        if are_clouds or len(shapes) * len(azimuths) * size**2 > _MOST_PIXELS:
            return software.views(shapes, azimuths, size=size, elevation=elevation, stage=stage)
        try:
            return Open3DRenderer().views(
                shapes, azimuths, size=size, elevation=elevation, stage=stage
            )
        except OffscreenUnavailableError as error:
            self._say(f"drawn by software: {error}")
        return software.views(shapes, azimuths, size=size, elevation=elevation, stage=stage)


def renderer_of(name: str, say: Callable[[str], None]) -> Renderer:
    """A renderer: software, open3d or auto; `say` is told of a choice that people may mend."""
    if name == "software":
        return SoftwareRenderer()
    return Open3DRenderer() if name == "open3d" else AutoRenderer(say)


def _taken(each: Set, *, size: int, azimuth: float, elevation: float) -> UInt8[np.ndarray, "h w 3"]:
    drawn = None
    if each.shape is not None:
        drawn = cutout(each.shape, size=size, azimuth=azimuth, elevation=elevation)
    return each.picture(drawn, size=size, azimuth=azimuth, elevation=elevation)
