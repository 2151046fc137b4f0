"""Numbers of the shape on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float

from geoflow.geometry.mesh import Summary, summarise


@dataclass(frozen=True)
class Measures:
    """Extents of the bounding box along x, y and z, surface area, and what `summarise` says.

    Units are those of the mesh: the longest half extent of a normalised shape is 1.
    """

    extents: tuple[float, float, float]
    area: float
    summary: Summary

    def lines(self) -> list[str]:
        """For people. A surface with holes has no volume."""
        closed, parts = self.summary.is_watertight, self.summary.components
        width, height, depth = self.extents
        return [
            f"bounding box {width:.3f} by {height:.3f} by {depth:.3f}",
            f"volume {self.summary.volume:.4f}" if closed else "volume: none, it is not closed",
            f"surface {self.area:.3f}",
            "watertight" if closed else "not watertight",
            f"{self.summary.faces} faces, {parts} component{'' if parts == 1 else 's'}",
        ]


@dataclass(frozen=True)
class CloudMeasures:
    """Extents of the bounding box along x, y and z, and the number of points."""

    extents: tuple[float, float, float]
    points: int

    def lines(self) -> list[str]:
        """For people. Points enclose nothing."""
        width, height, depth = self.extents
        return [
            f"bounding box {width:.3f} by {height:.3f} by {depth:.3f}",
            "volume: none, points have no surface",
            f"{self.points} points",
        ]


def measure(mesh: trimesh.Trimesh) -> Measures:
    """Measure a mesh."""
    width, height, depth = np.ptp(mesh.bounds, axis=0).tolist()
    return Measures((width, height, depth), float(mesh.area), summarise(mesh))


def measure_cloud(points: Float[np.ndarray, "n 3"]) -> CloudMeasures:
    """Measure a cloud."""
    width, height, depth = np.ptp(points, axis=0).tolist()
    return CloudMeasures((width, height, depth), len(points))
