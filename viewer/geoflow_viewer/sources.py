"""How each kind of model makes shapes of a state: meshes, clouds, points of one surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Float32
from torch import Tensor

from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.models.clouds import PointGenerator
from geoflow.models.distribution import GeometryDistribution
from geoflow.models.fields import Generator
from geoflow.models.latent import LatentGenerator
from geoflow.seeds import great_circle
from geoflow_viewer.items import SLICE_BOUND, Item, Rung
from geoflow_viewer.measure import measure, measure_cloud
from geoflow_viewer.state import SHOWS, State
from geoflow_viewer.worker import Ticket

_SLICE_POINTS = 97


class Source(Protocol):
    """A model that makes the items of states."""

    kind: ClassVar[str]
    """Its representation: sdf, points, or distribution."""
    shows: ClassVar[tuple[str, ...]]
    """What can be drawn of its shapes, their own form first."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of what it can make."""

    def latent(self, state: State) -> Float[Tensor, "k c"] | None:
        """What all rungs of a shape have in common."""

    def encode(self, mesh: trimesh.Trimesh) -> Float[Tensor, "k c"]:
        """Latent of a mesh in normalised units."""

    def item(
        self, label: str, state: State, latent: Tensor | None, rung: Rung, ticket: Ticket
    ) -> Item:
        """The shape of a latent, as fine as the rung says."""


@dataclass(frozen=True)
class FieldSource:
    """Meshes of a generator of signed distance fields."""

    model: Generator
    kind: ClassVar[str] = "sdf"
    shows: ClassVar[tuple[str, ...]] = SHOWS

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of what it can make."""
        return self.model.config.categories

    def latent(self, state: State) -> Float[Tensor, "k c"]:
        """Tokens on the way from noise to shape."""
        return _tokens(self.model, state, state.time)

    def encode(self, mesh: trimesh.Trimesh) -> Float[Tensor, "k c"]:
        """Tokens of a mesh."""
        return self.model.encode_mesh(mesh)

    def item(
        self, label: str, state: State, latent: Tensor | None, rung: Rung, ticket: Ticket
    ) -> Item:
        """The zero set of a latent's field; a message where it has none."""
        assert latent is not None
        item = Item(label, state, latent=_vectors(self.model, latent))
        try:
            mesh = self.model.decode(latent, resolution=rung.resolution, check=ticket.check)
        except EmptySurfaceError as error:
            return replace(item, message=str(error))
        return replace(item, mesh=mesh, measures=measure(mesh))

    def slice(self, latent: Tensor | None, x: float, ticket: Ticket) -> Float32[np.ndarray, "n n"]:
        """Signed distance of a latent's field on the plane of that x, at (y, z)."""
        assert latent is not None
        return _on_plane(self.model.field(latent, check=ticket.check), x)


@dataclass(frozen=True)
class CloudSource:
    """Clouds of a generator of points; on the way from noise, points move and the latent stands."""

    model: PointGenerator
    kind: ClassVar[str] = "points"
    shows: ClassVar[tuple[str, ...]] = ("points", "latent")

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of what it can make."""
        return self.model.config.categories

    def latent(self, state: State) -> Float[Tensor, "k c"]:
        """Tokens at the end of their way."""
        return _tokens(self.model, state, 1.0)

    def encode(self, mesh: trimesh.Trimesh) -> Float[Tensor, "k c"]:
        """Tokens of points of a mesh's surface."""
        return self.model.encode_mesh(mesh)

    def item(
        self, label: str, state: State, latent: Tensor | None, rung: Rung, ticket: Ticket
    ) -> Item:
        """Points of a latent's shape."""
        assert latent is not None
        noise = _between(state, lambda seed: self.model.point_noise(1, rung.points, seed=seed))
        stops = _stops(state.steps, state.time)
        way = self.model.point_trajectory(latent[None], noise, ode=state.ode, times=stops)
        points = _state_at(state.time, stops, way, ticket)[0].cpu().numpy()
        return Item(
            label, state, latent=_vectors(self.model, latent), cloud=points,
            measures=measure_cloud(points),
        )  # fmt: skip


@dataclass(frozen=True)
class DistributionSource:
    """Points of the one surface that a geometry distribution knows."""

    model: GeometryDistribution
    kind: ClassVar[str] = "distribution"
    shows: ClassVar[tuple[str, ...]] = ("points",)

    @property
    def categories(self) -> tuple[str, ...]:
        """None."""
        return ()

    def latent(self, state: State) -> None:
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
        noise = _between(state, lambda seed: self.model.noise(rung.points, seed=seed))
        grid = None if state.ode else self.model.config.times.grid(state.steps)
        stops = _stops(state.steps, state.time, grid)
        way = self.model.trajectory(noise, ode=state.ode, times=stops)
        points = _state_at(state.time, stops, way, ticket).numpy()
        return Item(
            label, state, cloud=points, channels=self.model.config.channels,
            measures=measure_cloud(points[:, :3]),
        )  # fmt: skip


SOURCES: dict[type, Callable[[Any], Source]] = {
    Generator: FieldSource,
    PointGenerator: CloudSource,
    GeometryDistribution: DistributionSource,
}
"""How shapes are made, by the class of the model."""


def noise_of(state: State, generator: LatentGenerator[Any]) -> Float[Tensor, "1 k c"]:
    """The noise of tokens that a state's seeds and blend stand for."""
    return _between(state, lambda seed: generator.noise(1, seed=seed))


def _tokens(generator: LatentGenerator[Any], state: State, time: float) -> Float[Tensor, "k c"]:
    stops = _stops(state.steps, time)
    noise = noise_of(state, generator)
    way = generator.trajectory(noise, category=state.category, ode=state.ode, times=stops)
    return _state_at(time, stops, way)[0]


def _between(state: State, noise: Callable[[int], Tensor]) -> Tensor:
    if state.to_seed is None:
        return noise(state.seed)
    return great_circle(noise(state.seed), noise(state.to_seed), state.blend)


def _stops(steps: int, time: float, grid: Float[Tensor, " t"] | None = None) -> Float[Tensor, " s"]:
    """A grid, by default of equal steps, and a stop at a time: one map leads there."""
    if grid is None:
        grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return torch.tensor(sorted({*grid.tolist(), time}), dtype=torch.float64)


def _state_at(
    time: float, stops: Tensor, way: Iterator[Tensor], ticket: Ticket | None = None
) -> Tensor:
    for at, state in zip(stops.tolist(), way, strict=False):
        if ticket is not None:
            ticket.check()
        if at == time:
            return state
    raise AssertionError("the grid has the time")


def _vectors(generator: LatentGenerator[Any], tokens: Tensor) -> Float[np.ndarray, "p 3"]:
    scalars = generator.config.autoencoder.scalars
    vectors: np.ndarray = tokens[:, scalars:].reshape(-1, 3).cpu().numpy().astype(np.float64)
    return vectors


def _on_plane(field: Callable[[Tensor], Tensor], x: float) -> Float32[np.ndarray, "n n"]:
    axis = torch.linspace(-SLICE_BOUND, SLICE_BOUND, _SLICE_POINTS)
    y, z = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([torch.full_like(y, x), y, z], -1).reshape(-1, 3)
    return field(points).reshape(y.shape).cpu().numpy().astype(np.float32)
