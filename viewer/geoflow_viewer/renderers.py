"""Who draws pictures: Open3D's renderer where its drivers are, or the software of `picture`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from geoflow_viewer.offscreen import OffscreenUnavailableError, Open3DRenderer
from geoflow_viewer.picture import ELEVATION, Shape, render

RENDERERS = ("auto", "open3d", "software")


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
    ) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
        """A row of square pictures, one for each shape, for each azimuth."""


class SoftwareRenderer:
    """Pictures by numpy, anywhere."""

    def views(
        self,
        shapes: Sequence[Shape | None],
        azimuths: Sequence[float],
        *,
        size: int,
        elevation: float = ELEVATION,
    ) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
        """A row of square pictures, one for each shape, for each azimuth."""
        return [
            [render(shape, size=size, azimuth=azimuth, elevation=elevation) for shape in shapes]
            for azimuth in azimuths
        ]


class AutoRenderer:
    """Pictures by Open3D where it draws, else by software, after saying so.

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
    ) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
        """A row of square pictures, one for each shape, for each azimuth."""
        try:
            return Open3DRenderer().views(shapes, azimuths, size=size, elevation=elevation)
        except OffscreenUnavailableError as error:
            self._say(f"drawn by software: {error}")
        return SoftwareRenderer().views(shapes, azimuths, size=size, elevation=elevation)


def renderer_of(name: str, say: Callable[[str], None]) -> Renderer:
    """A renderer by its name among RENDERERS; `say` is told of a choice that people may mend."""
    if name == "software":
        return SoftwareRenderer()
    return Open3DRenderer() if name == "open3d" else AutoRenderer(say)
