"""Points of the one surface that a geometry distribution knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.models.distribution import GeometryDistribution
from geoflow_viewer.items import Item, Rung
from geoflow_viewer.kinds.source import between, state_at, stops_of
from geoflow_viewer.measure import measure_cloud
from geoflow_viewer.state import State
from geoflow_viewer.worker import Ticket


@dataclass(frozen=True)
class Source:
    """Points of the one surface that a geometry distribution knows."""

    model: GeometryDistribution
    kind: ClassVar[str] = "distribution"
    shows: ClassVar[tuple[str, ...]] = ("points",)

    @property
    def categories(self) -> tuple[str, ...]:
        """None."""
        return ()

    def latent(self, state: State, ticket: Ticket | None = None) -> None:
        """None: the shape is in the weights.

        Raises:
            ValueError: for a category.
        """
        if state.category is not None:
            raise ValueError(f"a distribution has no categories, got {state.category!r}")

    def encode(self, mesh: trimesh.Trimesh) -> Float[Tensor, "k c"]:
        """Never returns.

        Raises:
            ValueError: always.
        """
        raise ValueError("a distribution knows one shape, and reconstructs no other one")

    def item(
        self, label: str, state: State, latent: Tensor | None, rung: Rung, ticket: Ticket
    ) -> Item:
        """Points with all their channels."""
        noise = between(state, lambda seed: self.model.noise(rung.points, seed=seed))
        grid = None if state.ode else self.model.config.grid(state.steps)
        stops = stops_of(state.steps, state.time, grid)
        way = self.model.trajectory(noise, ode=state.ode, times=stops)
        points = state_at(state.time, stops, way, ticket).numpy()
        return Item(
            label, state, cloud=points, channels=self.model.config.channels,
            measures=measure_cloud(points[:, :3]),
        )  # fmt: skip

    def slice(self, latent: Tensor | None, x: float, ticket: Ticket) -> None:
        """None: points have no field."""
