"""What the viewer asks of a kind of model, and what its rooms have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Float32
from torch import Tensor

from geoflow.models.latent import LatentGenerator
from geoflow.seeds import great_circle
from geoflow_viewer.items import Item, Rung
from geoflow_viewer.state import State
from geoflow_viewer.worker import Ticket

Slice: TypeAlias = Float32[np.ndarray, "n n"]


@runtime_checkable
class Source(Protocol):
    """A model that makes the items of states."""

    kind: ClassVar[str]
    """Key of KINDS."""
    shows: ClassVar[tuple[str, ...]]
    """What can be drawn of its shapes, their own form first."""

    @property
    def model(self) -> Any:
        """The model, of its kind's class."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of what it can make."""

    def latent(self, state: State, ticket: Ticket | None = None) -> Float[Tensor, "k c"] | None:
        """What all rungs of a shape have in common; the ticket ends the work."""

    def encode(self, mesh: trimesh.Trimesh) -> Float[Tensor, "k c"]:
        """Latent of a mesh in normalised units."""

    def item(
        self, label: str, state: State, latent: Tensor | None, rung: Rung, ticket: Ticket
    ) -> Item:
        """The shape of a latent, as fine as the rung says."""

    def slice(self, latent: Tensor | None, x: float, ticket: Ticket) -> Slice | None:
        """Signed distance on the plane of that x, at (y, z); None where there is no field."""


def noise_of(state: State, generator: LatentGenerator[Any]) -> Float[Tensor, "1 k c"]:
    """The noise of tokens that a state's seeds and blend stand for."""
    return between(state, lambda seed: generator.noise(1, seed=seed))


def tokens_of(
    generator: LatentGenerator[Any], state: State, time: float, ticket: Ticket | None = None
) -> Float[Tensor, "k c"]:
    """Tokens of a state at a time of their way; the ticket ends the work."""
    grid = None if state.ode else generator.config.grid(state.steps)
    stops = stops_of(state.steps, time, grid)
    noise = noise_of(state, generator)
    cond = generator.condition(1, category=state.category)
    way = generator.trajectory(noise, cond, ode=state.ode, times=stops)
    return state_at(time, stops, way, ticket)[0]


def between(state: State, noise: Callable[[int], Tensor]) -> Tensor:
    """The noise of a state's seed, or of the place between its two seeds."""
    if state.to_seed is None:
        return noise(state.seed)
    return great_circle(noise(state.seed), noise(state.to_seed), state.blend)


def stops_of(
    steps: int, time: float, grid: Float[Tensor, " t"] | None = None
) -> Float[Tensor, " s"]:
    """A grid, by default of equal steps, and a stop at a time: one map leads there."""
    if grid is None:
        grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return torch.tensor(sorted({*grid.tolist(), time}), dtype=torch.float64)


def state_at(
    time: float, stops: Tensor, way: Iterator[Tensor], ticket: Ticket | None = None
) -> Tensor:
    """The state of a trajectory at one of its stops."""
    for at, state in zip(stops.tolist(), way, strict=False):
        if ticket is not None:
            ticket.check()
        if at == time:
            return state
    raise AssertionError("the grid has the time")


def vectors_of(generator: LatentGenerator[Any], tokens: Tensor) -> Float[np.ndarray, "p 3"]:
    """The vectors of latent tokens, to be drawn."""
    scalars = generator.config.autoencoder.scalars
    vectors: np.ndarray = tokens[:, scalars:].reshape(-1, 3).cpu().numpy().astype(np.float64)
    return vectors
