"""From a state to its shapes, coarse ones first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Float32
from torch import Tensor

from geoflow.generator import Generator
from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.latent_generator import shipped_models
from geoflow.seeds import great_circle
from geoflow_viewer.measure import Measures, measure
from geoflow_viewer.state import State, parts
from geoflow_viewer.worker import Ticket

RESOLUTIONS = (64, 128, 256)
"""The ladder of one shape; several shapes together stop before its last rung."""
SLICE_BOUND = 1.05
_SLICE_POINTS = 97
# The next rung waits until nothing has been asked for so many seconds.
_REST = 0.35


@dataclass(frozen=True)
class Item:
    """One shape on the screen; `message` says why it has no mesh."""

    label: str
    state: State
    mesh: trimesh.Trimesh | None
    latent: Float[np.ndarray, "p 3"] | None = None
    """The latent's vectors: coordinates of a code, not places on the surface."""
    slice: Float32[np.ndarray, "n n"] | None = None
    """Signed distance on the plane x = slice, at (y, z)."""
    measures: Measures | None = None
    message: str = ""


@dataclass(frozen=True)
class Result:
    """The shapes of a state at one resolution."""

    state: State
    resolution: int
    items: tuple[Item, ...]
    seconds: float


class Models:
    """Generators by name, each loaded once, for every session of a process."""

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        load: Callable[[str], Generator] = Generator.from_pretrained,
    ) -> None:
        self.names = list(dict.fromkeys([*names, *shipped_models("sdf")]))
        self._load = load
        self._loaded: dict[str, Generator] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Generator:
        """The generator; only names of the list are loaded.

        Raises:
            ValueError: for another name.
            CheckpointError: if its files are missing or damaged.
        """
        if name not in self.names:
            raise ValueError(f"model must be one of {', '.join(self.names)}, got {name!r}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def categories(self, name: str) -> tuple[str, ...]:
        """Categories of a generator, none before it is loaded."""
        generator = self._loaded.get(name)
        return () if generator is None else generator.config.categories


def generate(
    state: State,
    models: Models,
    meshes: Mapping[str, trimesh.Trimesh],
    ticket: Ticket,
    *,
    resolutions: Sequence[int] = RESOLUTIONS,
    rest: float = _REST,
) -> Iterator[Result]:
    """Yield the shapes of a state, from the coarsest rung to the finest.

    Args:
        state: what is wanted.
        models: generators by name.
        meshes: opened meshes by name, in normalised units.
        ticket: ends the work between chunks of queries.
        resolutions: the ladder.
        rest: seconds to wait before each finer rung.

    Raises:
        EmptySurfaceError: if no shape has a surface.
        ValueError: for a model, category or mesh that is not there.
    """
    start = time.perf_counter()
    planned = parts(state)
    latents = [tokens_of(part, models, meshes) for _, part in planned]
    rungs = list(resolutions)
    if len(planned) > 1 and len(rungs) > 1:
        rungs = rungs[:-1]
    for rung, resolution in enumerate(rungs):
        if rung:
            ticket.rest(rest)
        items = tuple(
            _item(label, part, tokens, models, meshes, resolution, ticket)
            for (label, part), tokens in zip(planned, latents, strict=True)
        )
        if all(item.mesh is None for item in items):
            raise EmptySurfaceError(items[0].message)
        yield Result(state, resolution, items, time.perf_counter() - start)
        if all(tokens is None for tokens in latents):
            return


def noise_of(state: State, generator: Generator) -> Float[Tensor, "1 k c"]:
    """The noise that a state's seeds and blend stand for."""
    noise = generator.noise(1, seed=state.seed)
    if state.to_seed is None:
        return noise
    return great_circle(noise, generator.noise(1, seed=state.to_seed), state.blend)


def tokens_of(
    state: State, models: Models, meshes: Mapping[str, trimesh.Trimesh]
) -> Float[Tensor, "k c"] | None:
    """Latent of a single shape; None for an opened mesh as it is.

    Raises:
        ValueError: for a model, category or mesh that is not there.
    """
    if state.mesh is not None:
        if state.mesh not in meshes:
            raise ValueError(f"the mesh {state.mesh} is not open; open it again")
        if not state.reconstruct:
            return None
        return models[state.model].encode_mesh(meshes[state.mesh])
    generator = models[state.model]
    grid = torch.linspace(0, 1, state.steps + 1, dtype=torch.float64).tolist()
    times = sorted({*grid, state.time})
    way = generator.trajectory(
        noise_of(state, generator),
        category=state.category,
        ode=state.ode,
        times=torch.tensor(times, dtype=torch.float64),
    )
    # One map leads from the last step before to any time between: the flow map's gift.
    return next(tokens[0] for at, tokens in zip(times, way, strict=False) if at == state.time)


def _item(
    label: str,
    state: State,
    tokens: Float[Tensor, "k c"] | None,
    models: Models,
    meshes: Mapping[str, trimesh.Trimesh],
    resolution: int,
    ticket: Ticket,
) -> Item:
    ticket.check()
    if tokens is None:
        opened = meshes[state.mesh or ""]
        return Item(label, state, opened, measures=measure(opened))
    generator = models[state.model]
    scalars = generator.config.autoencoder.scalars
    latent = tokens[:, scalars:].reshape(-1, 3).cpu().numpy().astype(np.float64)
    item = Item(label, state, None, latent)
    if "slice" in state.show:
        field = generator.field(tokens, check=ticket.check)
        item = replace(item, slice=_on_plane(field, state.slice))
    try:
        mesh = generator.decode(tokens, resolution=resolution, check=ticket.check)
    except EmptySurfaceError as error:
        return replace(item, message=str(error))
    return replace(item, mesh=mesh, measures=measure(mesh))


def _on_plane(field: Callable[[Tensor], Tensor], x: float) -> Float32[np.ndarray, "n n"]:
    axis = torch.linspace(-SLICE_BOUND, SLICE_BOUND, _SLICE_POINTS)
    y, z = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([torch.full_like(y, x), y, z], -1).reshape(-1, 3)
    return field(points).reshape(y.shape).cpu().numpy().astype(np.float32)
