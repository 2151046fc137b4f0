"""Clouds of a generator of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.models.clouds import PointGenerator
from geoflow_viewer.items import Item, Rung
from geoflow_viewer.kinds.source import between, state_at, stops_of, tokens_of, vectors_of
from geoflow_viewer.measure import measure_cloud
from geoflow_viewer.state import State
from geoflow_viewer.worker import Ticket


@dataclass(frozen=True)
class Source:
    """Clouds of a generator of points; on the way from noise, points move and the latent stands."""

    model: PointGenerator
    kind: ClassVar[str] = "points"
    shows: ClassVar[tuple[str, ...]] = ("points", "latent")

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of what it can make."""
        return self.model.categories

    def latent(self, state: State, ticket: Ticket | None = None) -> Float[Tensor, "k c"]:
        """Tokens at the end of their way."""
        return tokens_of(self.model, state, 1.0, ticket)

    def encode(self, mesh: trimesh.Trimesh) -> Float[Tensor, "k c"]:
        """Tokens of points of a mesh's surface."""
        return self.model.encode_mesh(mesh)

    def item(
        self, label: str, state: State, latent: Tensor | None, rung: Rung, ticket: Ticket
    ) -> Item:
        """Points of a latent's shape."""
        assert latent is not None
        noise = between(state, lambda seed: self.model.point_noise(1, rung.points, seed=seed))
        grid = None if state.ode else self.model.config.points.grid(state.steps)
        stops = stops_of(state.steps, state.time, grid)
        way = self.model.point_trajectory(latent[None], noise, ode=state.ode, times=stops)
        points = state_at(state.time, stops, way, ticket)[0].cpu().numpy()
        return Item(
            label, state, latent=vectors_of(self.model, latent), cloud=points,
            measures=measure_cloud(points),
        )  # fmt: skip

    def slice(self, latent: Tensor | None, x: float, ticket: Ticket) -> None:
        """None: points have no field."""
