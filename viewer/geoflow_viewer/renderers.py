"""Who draws pictures: Open3D's renderer where its drivers are, or the software of `picture`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from geoflow_viewer.offscreen import OffscreenUnavailableError, Open3DRenderer
from geoflow_viewer.picture import ELEVATION, Shape, render

RENDERERS = ("auto", "open3d", "software")


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


def renderer_of(name: str) -> tuple[Renderer, str]:
    """A renderer by its name among RENDERERS, and what to tell people of the choice, if anything.

    Raises:
        OffscreenUnavailableError: for open3d where it cannot draw.
    """
    if name == "software":
        return SoftwareRenderer(), ""
    drawer = Open3DRenderer()
    try:
        drawer.check()
    except OffscreenUnavailableError as error:
        if name == "open3d":
            raise
        return SoftwareRenderer(), f"drawn by software: {error}"
    return drawer, ""
