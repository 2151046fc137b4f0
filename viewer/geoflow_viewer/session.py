"""A person's sitting before the viewer, without a screen: state, events, undo, results.

A face draws a session and sends it events; a subscriber is told after every change, on the thread
on which it happened: the caller's for events, the worker's for results. One lock orders them all.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import trimesh

from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.read_points import Cloud
from geoflow.models.kinds import Kind
from geoflow_viewer.generation import generate
from geoflow_viewer.items import RUNGS, Result, Rung
from geoflow_viewer.models import Models
from geoflow_viewer.opened import Opened, are_equal, placed_cloud
from geoflow_viewer.state import CLOUD_SHOWS, MAX_SEED, OPENED_SHOWS, SHOWS, State, parts, visible
from geoflow_viewer.worker import Request, Ticket, Worker

_UNDO_DEPTH = 100
# A drag along one of these is one thing to undo.
_SLIDERS = {"steps", "time", "blend", "slice", "given", "answer"}
# Degrees, and shares of the way between two seeds, per second.
_TURN_SPEED, _PLAY_SPEED = 36.0, 0.12

Listener = Callable[[], None]


class Session:
    """State, what it last looked like, and everything a person can do.

    Args:
        models: models by name.
        state: the first state.
        meshes: opened meshes and clouds by name, in normalised units.
        rest: seconds without an event before the result is refined.
        draw_seed: where new seeds come from.
        rungs: the ladder of refinement.

    Attributes:
        state: what is asked for.
        result: the last good shapes, of this state or an earlier one.
        error: why the last request gave nothing; empty where it did.
        is_busy: whether a finer or newer result is on its way.
        is_turning: whether the turntable runs.
        is_playing: whether the interpolation runs to and fro.
        angle: of the turntable, in degrees about +Y.
        place: in the line of all sessions of these models; 0 where nothing waits.
        lock: held while anything changes and while subscribers are told.
    """

    def __init__(
        self,
        models: Models,
        state: State | None = None,
        *,
        meshes: Mapping[str, Opened] | None = None,
        rest: float = 0.35,
        draw_seed: Callable[[], int] = lambda: secrets.randbelow(MAX_SEED + 1),
        rungs: tuple[Rung, ...] = RUNGS,
    ) -> None:
        self.models = models
        self.state = state or State()
        self.result: Result | None = None
        self.error = ""
        self.is_busy = False
        self.lock = threading.RLock()
        self.is_turning = False
        self.is_playing = False
        self.angle = 0.0
        self.place = 0
        self._direction = 1.0
        self._rest = rest
        self._draw_seed = draw_seed
        self._rungs = rungs
        self._opened = dict(meshes or {})
        # Before a cloud was opened, for which the model that takes any points is chosen.
        is_cloud = self.state.cloud is not None
        self._model_before = models.names[0] if is_cloud else self.state.model
        self._past: list[State] = []
        self._future: list[State] = []
        self._dragged: str | None = None
        self._listeners: list[Listener] = []
        self._worker: Worker[Result] = Worker(self.lock)

    @property
    def categories(self) -> tuple[str, ...]:
        """What the model can make; nothing before it is loaded."""
        return self.models.categories(self.state.model)

    @property
    def kind(self) -> Kind:
        """Kind of the model; before it is loaded, that of the default one."""
        return self.models.kind(self.state.model)

    @property
    def shows(self) -> tuple[str, ...]:
        """What can be drawn of the shapes that are asked for."""
        state, made = self.state, self.models.shows(self.state.model)
        if state.cloud is not None:
            return OPENED_SHOWS
        if state.mesh is None:
            return made
        possible = {*OPENED_SHOWS, *(made if state.reconstruct else ())}
        return tuple(show for show in SHOWS if show in possible)

    @property
    def model_names(self) -> list[str]:
        """Models that can be chosen: of an opened cloud, those that make solids of it."""
        return self.models.names if self.state.cloud is None else self.models.solids

    @property
    def shown(self) -> tuple[str, ...]:
        """What is drawn of them."""
        return visible(self.state.show, self.shows)

    def start(self) -> None:
        """Ask for the first shapes."""
        with self.lock:
            self._request(self._rungs)
        self._tell()

    def close(self) -> bool:
        """Forget all listeners and end the worker; whether it ended in time."""
        with self.lock:
            self._listeners.clear()
        return self._worker.close()

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` after every change."""
        with self.lock:
            self._listeners.append(listener)

    def change(self, **values: Any) -> None:
        """Set fields of the state, and make what they ask for.

        Raises:
            TypeError: for a field that a state does not have.
            ValueError: for a value that a state cannot hold; the state stays.
        """
        with self.lock:
            wanted = replace(self.state, **values)
            if wanted == self.state:
                return
            name = _slider(values)
            goes_on = name is not None and name == self._dragged
            if not goes_on:
                self._past = [*self._past, self.state][-_UNDO_DEPTH:]
            self._dragged = name
            self._future.clear()
            # A layout takes so long that its drag rather waits for the end.
            self._move_to(wanted, patient=goes_on and wanted.layout == "single")
        self._tell()

    def undo(self) -> bool:
        """Go back to the state before; whether there was one."""
        return self._travel(self._past, self._future)

    def redo(self) -> bool:
        """Take back an `undo`; whether there was one."""
        return self._travel(self._future, self._past)

    def new_seed(self) -> bool:
        """Draw another seed, unless it is locked; whether it was drawn."""
        if self.state.locked:
            return False
        self.change(seed=self._draw_seed())
        return True

    def choose(self, index: int) -> None:
        """Go on with one of the shapes of a layout alone.

        Raises:
            IndexError: if the layout has no such shape.
        """
        planned = parts(self.state)
        if not 0 <= index < len(planned):
            raise IndexError(f"there are {len(planned)} shapes, got index {index}")
        part = planned[index][1]
        self.change(
            layout="single", seed=part.seed, steps=part.steps, ode=part.ode,
            to_seed=part.to_seed, blend=part.blend, given=part.given, answer=part.answer,
        )  # fmt: skip

    def toggle(self, show: str) -> None:
        """Draw a thing, or draw it no longer; the last one stays.

        Raises:
            ValueError: for a thing that these shapes do not have.
        """
        if show not in self.shows:
            raise ValueError(f"there is no {show} here, only {', '.join(self.shows)}")
        now = self.shown
        wanted = tuple(s for s in now if s != show) if show in now else (*now, show)
        if wanted:
            self.change(show=wanted)

    def open_mesh(self, name: str, mesh: trimesh.Trimesh, *, reconstruct: bool = False) -> None:
        """Show a mesh in normalised units.

        Raises:
            ValueError: if the mesh is empty, flat to a point, or not finite.
        """
        self._open(
            name, normalise_mesh(mesh), cloud=None, mesh=name, model=self._sampling(),
            reconstruct=reconstruct, layout="single", up="y",
        )  # fmt: skip

    def open_cloud(self, name: str, cloud: Cloud, *, up: str = "y") -> None:
        """Make a solid of a cloud's points, and show both.

        Raises:
            ValueError: for points that no solid can be made of.
        """
        placed = placed_cloud(cloud, up=up)
        if self.state.cloud is None:
            self._model_before = self.state.model
        self._open(
            name, placed, cloud=name, mesh=None, answer=0,
            model=self.models.solids[0], category=None, layout="single", show=CLOUD_SHOWS, up=up,
        )  # fmt: skip

    def leave_opened(self) -> None:
        """Show samples again."""
        self.change(mesh=None, cloud=None, model=self._sampling(), up="y")

    def _sampling(self) -> str:
        """The model, that from before a cloud was opened, or the first that makes samples."""
        names, model = self.models.names, self.state.model
        if self.state.cloud is not None and model == self.models.solids[0]:
            model = self._model_before
        return model if model in names else names[0]

    def _open(self, name: str, placed: Opened, **values: Any) -> None:
        with self.lock:
            is_other = name in self._opened and not are_equal(self._opened[name], placed)
            self._opened[name] = placed
            if is_other:
                # What is on the screen by this name is not this thing.
                self.result = None
            before = self.state
            self.change(**values)
            if is_other and self.state == before:
                self._request(self._rungs)
                self._tell()

    def turn(self, on: bool) -> None:
        """Start or stop the turntable."""
        self.is_turning = on
        self._tell()

    def play(self, on: bool) -> None:
        """Start or stop the way to and fro between two seeds; a second seed is drawn if needed."""
        self.is_playing = on
        if on and self.state.to_seed is None:
            self.change(to_seed=self._draw_seed())
        else:
            self._tell()

    def tick(self, seconds: float) -> None:
        """Let time pass for the turntable and the interpolation.

        A new blend is asked for only when the last one is on the screen: a slow machine shows
        fewer of them, and never none.
        """
        if self.is_turning:
            self.angle = (self.angle + _TURN_SPEED * seconds) % 360.0
        if self.is_playing and self._is_shown():
            blend = self.state.blend + self._direction * _PLAY_SPEED * max(seconds, 0.1)
            if not 0.0 <= blend <= 1.0:
                self._direction = -self._direction
            self.change(blend=min(max(blend, 0.0), 1.0))

    def wait(self, timeout: float = 60.0) -> bool:
        """Block until nothing is on its way; whether that came in time."""
        settled = threading.Event()

        def look() -> None:
            if not self.is_busy:
                settled.set()

        self.subscribe(look)
        look()
        try:
            return settled.wait(timeout)
        finally:
            with self.lock:
                if look in self._listeners:
                    self._listeners.remove(look)

    def _is_shown(self) -> bool:
        if self.result is None or not self.is_busy:
            return not self.is_busy
        return self.state.needs_nothing_of(self.result.state)

    def _travel(self, source: list[State], target: list[State]) -> bool:
        with self.lock:
            if not source:
                return False
            target.append(self.state)
            self._dragged = None
            self._move_to(source.pop())
        self._tell()
        return True

    def _move_to(self, wanted: State, *, patient: bool = False) -> None:
        before, self.state = self.state, wanted
        shown = self.result
        if shown is None or not all(shown.item_of(part) for _, part in parts(wanted)):
            self._request(self._rungs, patient=patient)
        elif not (wanted.needs_nothing_of(shown.state) and wanted.needs_nothing_of(before)):
            # The wanted shapes are shown: they need not become coarse again.
            finer = tuple(rung for rung in self._rungs if rung >= shown.rung)
            self._request(finer or self._rungs[-1:], patient=patient)

    def _request(self, rungs: tuple[Rung, ...], *, patient: bool = False) -> None:
        state, meshes = self.state, dict(self._opened)

        def stages(ticket: Ticket) -> Iterator[Result]:
            return generate(
                state, self.models, meshes, ticket,
                rungs=rungs, rest=self._rest, shown=self.result, tell=self._stand,
            )  # fmt: skip

        self.is_busy = True
        request = Request(stages, self._deliver, self._fail, self._finish)
        self._worker.submit(request, patient=patient)

    def _stand(self, place: int) -> None:
        with self.lock:
            self.place = place
            self._tell()

    def _deliver(self, result: Result) -> None:
        self.result = result
        self.error = ""
        self._tell()

    def _fail(self, error: Exception) -> None:
        self.error = str(error) or type(error).__name__
        self.is_busy = False
        self._tell()

    def _finish(self) -> None:
        self.is_busy = False
        self._tell()

    def _tell(self) -> None:
        with self.lock:
            for listener in list(self._listeners):
                listener()


def _slider(values: Mapping[str, Any]) -> str | None:
    """The slider that a change moves; that of the steps leaves the ODE too."""
    names = [name for name in values if name in _SLIDERS]
    return names[0] if len(names) == 1 and {*values} <= {*names, "ode"} else None
