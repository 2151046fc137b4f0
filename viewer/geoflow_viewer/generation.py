"""From a state to its shapes, coarse ones first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.geometry.read_points import Cloud
from geoflow_viewer.completing import Completed, complete_cloud
from geoflow_viewer.items import RUNGS, Item, Result, Rung
from geoflow_viewer.kinds.source import Source
from geoflow_viewer.measure import measure
from geoflow_viewer.models import Models
from geoflow_viewer.opened import Opened
from geoflow_viewer.state import State, parts
from geoflow_viewer.worker import Ticket

# The next rung waits until nothing has been asked for so many seconds.
_REST = 0.35


def generate(
    state: State,
    models: Models,
    meshes: Mapping[str, Opened],
    ticket: Ticket,
    *,
    rungs: Sequence[Rung] = RUNGS,
    rest: float = _REST,
    shown: Result | None = None,
    tell: Callable[[int], None] = lambda place: None,
) -> Iterator[Result]:
    """Yield the shapes of a state, from the coarsest rung to the finest.

    Args:
        state: what is wanted.
        models: models by name.
        meshes: opened meshes and clouds by name, in normalised units.
        ticket: ends the work between chunks of queries, or between evaluations.
        rungs: the ladder.
        rest: seconds to wait before each finer rung.
        shown: shapes that need not be made again.
        tell: is told the place in the models' line, 0 for a turn.

    Raises:
        EmptySurfaceError: if no shape has a surface.
        FloatingPointError: for a shape with numbers that are not finite.
        ValueError: for a model, category or mesh that is not there.
    """
    start = time.perf_counter()
    planned = parts(state)
    making = _Making(planned, models, meshes, ticket, shown)
    wanted = list(rungs)
    if len(planned) > 1 and len(wanted) > 1:
        wanted = wanted[:-1]
    for stage, rung in enumerate(wanted):
        if stage:
            ticket.rest(rest)
        items = models.line.work(partial(making.items, rung), ticket, stage, tell)
        if all(item.is_empty for item in items):
            raise EmptySurfaceError(items[0].message)
        yield Result(state, rung, items, time.perf_counter() - start)
        if all(_is_as_opened(part) for _, part in planned):
            return


@dataclass(frozen=True)
class _Making:
    """The shapes of a state on their way; what all rungs have in common is made once."""

    planned: Sequence[tuple[str, State]]
    models: Models
    meshes: Mapping[str, Opened]
    ticket: Ticket
    shown: Result | None
    latents: dict[int, Float[Tensor, "k c"] | None] = field(default_factory=dict)
    solids: dict[State, Completed] = field(default_factory=dict)

    def items(self, rung: Rung) -> tuple[Item, ...]:
        """All shapes, as fine as the rung says."""
        return tuple(self.item(index, rung) for index in range(len(self.planned)))

    def item(self, index: int, rung: Rung) -> Item:
        """A shape, with its slice where one is wanted; its latent is made when it is needed."""
        (label, part), shown, ticket = self.planned[index], self.shown, self.ticket
        if _is_as_opened(part):
            opened = _opened(part, self.meshes)
            return Item(label, part, opened, measures=measure(opened))
        source = self.models[part.model]
        made = None if shown is None or shown.rung != rung else shown.item_of(part)
        if part.cloud is not None:
            cloud = _cloud(part, self.meshes)
            made = made or _solid(part, rung, source, cloud, self.solids, ticket)
            return replace(made, label=label, state=part)
        made = made or self.models.shelf.get(part, rung)
        is_cut = "slice" in part.show
        if (made is None or is_cut) and index not in self.latents:
            self.latents[index] = latent_of(part, self.models, self.meshes, ticket)
        ticket.check()
        if made is None:
            made = _lean(_finite(source.item(label, part, self.latents[index], rung, ticket)))
            self.models.shelf.put(part, rung, made)
        cut = source.slice(self.latents[index], part.slice, ticket) if is_cut else None
        return replace(made, label=label, state=part, slice=cut)


def latent_of(
    state: State,
    models: Models,
    meshes: Mapping[str, Opened],
    ticket: Ticket | None = None,
) -> Float[Tensor, "k c"] | None:
    """Latent of a single shape; None for an opened mesh as it is, and where a model has none.

    Raises:
        ValueError: for a model, category or mesh that is not there.
    """
    if state.mesh is None:
        return models[state.model].latent(state, ticket)
    opened = _opened(state, meshes)
    return models[state.model].encode(opened) if state.reconstruct else None


def _solid(
    part: State,
    rung: Rung,
    source: Source,
    cloud: Cloud,
    solids: dict[State, Completed],
    ticket: Ticket,
) -> Item:
    """The solid of a cloud; its latent is made once for all rungs, and kept in `solids`."""
    if part.undrawn not in solids:
        solids[part.undrawn] = complete_cloud(source, part, cloud, ticket)
    return _lean(_finite(solids[part.undrawn].item(part, rung, ticket)))


def _lean(made: Item) -> Item:
    """The shape alone: what was worked out of a mesh on the way is ten times as large."""
    if made.mesh is None:
        return made
    return replace(made, mesh=made.mesh.copy(include_cache=False))


def _finite(made: Item) -> Item:
    shapes = (made.cloud, made.latent, None if made.mesh is None else made.mesh.vertices)
    if not all(shape is None or np.isfinite(shape).all() for shape in shapes):
        raise FloatingPointError(
            f"the shape of {made.label} has numbers that are not finite: the model's weights are "
            "damaged, or its training diverged"
        )
    return made


def _is_as_opened(state: State) -> bool:
    return state.mesh is not None and not state.reconstruct


def _opened(state: State, meshes: Mapping[str, Opened]) -> trimesh.Trimesh:
    found = meshes.get(state.mesh or "")
    if not isinstance(found, trimesh.Trimesh):
        raise ValueError(f"the mesh {state.mesh} is not open; open it again")
    return found


def _cloud(state: State, opened: Mapping[str, Opened]) -> Cloud:
    found = opened.get(state.cloud or "")
    if not isinstance(found, Cloud):
        raise ValueError(f"the cloud {state.cloud} is not open; open it again")
    return found
