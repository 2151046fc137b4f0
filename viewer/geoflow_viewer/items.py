"""What is made of a state: shapes, as meshes or clouds, on a rung of the ladder of refinement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import trimesh
from jaxtyping import Float, Float32

from geoflow.models.latent import Detail
from geoflow_viewer.measure import CloudMeasures, Measures
from geoflow_viewer.state import State

SLICE_BOUND = 1.05


Rung: TypeAlias = Detail
"""How fine shapes are."""

RUNGS = (Rung(64, 2048), Rung(128, 8192), Rung(256, 20_000))
"""The ladder of one shape; several shapes together stop before its last rung."""


@dataclass(frozen=True)
class Item:
    """One shape on the screen, a mesh or a cloud; `message` says why it is neither."""

    label: str
    state: State
    mesh: trimesh.Trimesh | None = None
    latent: Float[np.ndarray, "p 3"] | None = None
    """The latent's vectors: coordinates of a code, not places on the surface."""
    slice: Float32[np.ndarray, "n n"] | None = None
    """Signed distance on the plane x = slice, at (y, z)."""
    cloud: Float32[np.ndarray, "n c"] | None = None
    """Points with their channels, positions first."""
    channels: tuple[str, ...] = ("position",)
    """What a point of the cloud carries: position, normal, color."""
    measures: Measures | CloudMeasures | None = None
    message: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is no shape."""
        return self.mesh is None and self.cloud is None

    @property
    def shows(self) -> tuple[str, ...]:
        """What can be drawn of it, its own form first."""
        solid, cloud = self.mesh is not None, self.cloud is not None
        there = {
            "mesh": solid,
            "wireframe": solid,
            "points": solid or cloud,
            "latent": self.latent is not None,
            "slice": self.slice is not None,
        }
        return tuple(show for show, is_there in there.items() if is_there)


@dataclass(frozen=True)
class Result:
    """The shapes of a state on one rung."""

    state: State
    rung: Rung
    items: tuple[Item, ...]
    seconds: float

    @property
    def detail(self) -> str:
        """How fine the shapes are: '64³', or '2048 points'."""
        if any(item.cloud is not None and item.mesh is None for item in self.items):
            return f"{self.rung.points} points"
        return f"{self.rung.resolution}³"

    def item_of(self, part: State) -> Item | None:
        """The shape of a single state, however it is drawn; None where it is not among these."""
        for item in self.items:
            if not item.is_empty and item.state.undrawn == part.undrawn:
                return item
        return None
