"""The viewer as a page, by viser: every visitor has a session of their own."""

from __future__ import annotations

import io
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from typing import Any

import numpy as np
import trimesh

from geoflow_viewer.arrangement import FIELD_OF_VIEW, LABEL_DROP, columns_of, eye, fit_distance
from geoflow_viewer.door import TAKEN, Door, why_closed
from geoflow_viewer.memory import give_back
from geoflow_viewer.models import Models
from geoflow_viewer.opened import Opened
from geoflow_viewer.panel import DARK, Panel, theme
from geoflow_viewer.scene import Layer, MeshLayer, PointsLayer, Tile, tiles
from geoflow_viewer.session import Session
from geoflow_viewer.state import COMPARED_STEPS, State, from_json, to_json
from geoflow_viewer.upload_limit import UploadLimit

_STORED = "geoflow-state"
_STORE_TIMEOUT = 5.0
_TICK = 1 / 15
# Seconds between two times that the memory of those who left is given back: it takes 0.2 of one.
_TIDY = 2.0
_FIRST_DISTANCE = 6.9
# Pixels; viser lays its panel over narrower pages. A panel at the side narrows the picture of a
# wider page as well, which is told from a phone by its form.
_NARROW, _UPRIGHT = 576, 1.6
# What viser says of a message to a page that was closed.
_LEFT = r"Queued a \w+ on a closed connection"


class BrowserUnavailableError(RuntimeError):
    """No page can be served here."""


class Browser:
    """A server of pages; leaving it as a context closes every session.

    Raises:
        BrowserUnavailableError: without viser, or where nothing can listen at host and port.
    """

    def __init__(
        self,
        models: Models,
        state: State,
        meshes: Mapping[str, Opened] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        **session_options: Any,
    ) -> None:
        try:
            import viser
        except ImportError as error:
            raise BrowserUnavailableError(
                f"no page: {error}; install the extra with pip install 'geoflow[viewer]'"
            ) from error
        if reason := why_closed(host, port):
            raise BrowserUnavailableError(f"no page: {reason}")
        self._models, self._state, self._meshes = models, state, dict(meshes or {})
        self._session_options = session_options
        self._visitors: dict[int, Visitor] = {}
        self._lock = threading.Lock()
        self._closed, self._parted = threading.Event(), threading.Event()
        self._door, self._uploads = Door(host, port), UploadLimit()
        # viser prints a table of its own.
        with redirect_stdout(io.StringIO()), self._door.guarding():
            # A visitor may leave while something is drawn for him: nobody misses it.
            warnings.filterwarnings("ignore", _LEFT, UserWarning)
            self._server = viser.ViserServer(host=host, port=port, label="geoflow", verbose=False)
        if not self._door.is_shut:
            self._server.stop()
            raise BrowserUnavailableError(
                f"no page: viser {viser.__version__} serves by another way than the one that is "
                "guarded; install viser 1.1"
            )
        if self._server.get_port() != port:
            self._server.stop()
            raise BrowserUnavailableError(f"no page: {TAKEN.format(port)}")
        self.url = self._door.address(host, port)
        self._server.scene.set_up_direction("+y")
        self._server.initial_camera.position = tuple(eye(_FIRST_DISTANCE))
        self._server.initial_camera.fov = np.radians(FIELD_OF_VIEW)
        self._server.initial_camera.look_at = (0.0, 0.0, 0.0)
        theme(self._server.gui, is_dark=False)
        # The panel stands beside the picture, not before it.
        self._server.gui.main_panel.dock_right()
        self._server.on_client_connect(self._welcome)
        self._server.on_client_disconnect(self._part)
        self._ticker = threading.Thread(target=self._tick, name="geoflow ticks", daemon=True)
        self._ticker.start()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sessions(self) -> list[Session]:
        """Sessions of the visitors that are here, the first visitor's first."""
        with self._lock:
            return [visitor.session for _, visitor in sorted(self._visitors.items())]

    def close(self) -> None:
        """Stop the server and every session."""
        self._closed.set()
        self._ticker.join()
        with self._lock:
            visitors, self._visitors = list(self._visitors.values()), {}
        for visitor in visitors:
            visitor.session.close()
        self._server.stop()

    def _welcome(self, client: Any) -> None:
        self._uploads.guard(
            client, lambda said: client.add_notification("Not done", said, color="red")
        )
        state = self._stored(client)
        session = Session(self._models, state, meshes=self._meshes, **self._session_options)
        visitor = Visitor(client, session, is_dark=self._kept(client, DARK) == "1")
        with self._lock:
            self._visitors[client.client_id] = visitor
        session.start()

    def _part(self, client: Any) -> None:
        with self._lock:
            visitor = self._visitors.pop(client.client_id, None)
        self._uploads.forget(client)
        if visitor is not None:
            visitor.session.close()
        self._parted.set()

    def _stored(self, client: Any) -> State:
        """What this browser saw last, so that a reload keeps it; else the first state."""
        text = self._kept(client, _STORED)
        try:
            state = self._state if text is None else from_json(text)
        except ValueError:
            # Something of another version.
            return self._state
        opened = state.mesh or state.cloud
        is_gone = opened is not None and opened not in self._meshes
        known = self._models.names if state.cloud is None else self._models.solids
        is_long = state.steps > max(self._state.steps, *COMPARED_STEPS)
        if state.model not in known or is_gone or is_long:
            return self._state
        return state

    def _kept(self, client: Any, name: str) -> str | None:
        """What a browser keeps by a name; None where it keeps nothing, or does not say."""
        try:
            text: str | None = client.local_storage.get_item(name, timeout=_STORE_TIMEOUT)
        except (RuntimeError, TimeoutError, ValueError):
            return None
        return text

    def _tick(self) -> None:
        last = tidied = time.monotonic()
        while not self._closed.wait(_TICK):
            now = time.monotonic()
            self._pass(now - last)
            last = now
            if self._parted.is_set() and now - tidied > _TIDY:
                self._parted.clear()
                give_back()
                tidied = time.monotonic()

    def _pass(self, seconds: float) -> None:
        """Let time pass for everybody; on its own, so that no name here holds who left."""
        for session in self.sessions:
            session.tick(seconds)
        with self._lock:
            visitors = list(self._visitors.values())
        for visitor in visitors:
            visitor.turn()


class Visitor:
    """One browser: draws its session, and tells it of events."""

    def __init__(self, client: Any, session: Session, *, is_dark: bool = False) -> None:
        self.session = session
        self._client = client
        wide, tall = client.camera.image_width, client.camera.image_height
        is_narrow = wide < _NARROW and tall > _UPRIGHT * wide
        self._panel = Panel(client, session, is_narrow=is_narrow, is_dark=is_dark)
        if is_dark:
            theme(client.gui, is_dark=True)
        self._drawn: list[Tile] = []
        # Every drawing has names of its own: the page keeps the pose of a name that comes again.
        self._num_drawings = 0
        self._frames: list[Any] = []
        self._turns: list[Any] = []
        self._labels: list[Any] = []
        self._seen: tuple[int, float] | None = None
        self._key: tuple[Any, ...] | None = None
        self._angle = 0.0
        client.camera.on_update(lambda _: self._follow())
        session.subscribe(self.draw)

    def draw(self) -> None:
        """Bring the page to what the session is; called with the session's lock held."""
        session, state = self.session, self.session.state
        self._panel.sync()
        self._client.local_storage.set_item(_STORED, to_json(state))
        if session.result is None:
            return
        key = (id(session.result), state.show, state.slice)
        if key == self._key:
            return
        self._key = key
        self._drawn = tiles(session.result, state, columns=columns_of(len(session.result.items)))
        with self._client.atomic():
            for frame in self._frames:
                frame.remove()
            self._frames, self._turns, self._labels = [], [], []
            self._num_drawings += 1
            for i, tile in enumerate(self._drawn):
                self._add(i, tile)
            self._look()
            self._place()

    def turn(self) -> None:
        """Stand the shapes at the turntable's angle."""
        with self.session.lock:
            if self._angle == self.session.angle:
                return
            self._angle = self.session.angle
            for turn in self._turns:
                turn.wxyz = _about_up(self._angle)

    def _follow(self) -> None:
        """Bring the tiles before the camera that a person turned, or in a page of another form."""
        with self.session.lock:
            if self._drawn:
                self._look()
            self._place()

    def _place(self) -> None:
        """Lay the tiles along the axes of the camera's picture: all are seen from one side."""
        with self.session.lock:
            if len(self._frames) < 2 and self._frames:
                self._frames[0].position = (0.0, 0.0, 0.0)
                return
            right, up = _picture_axes(self._client.camera)
            for frame, tile in zip(self._frames, self._drawn, strict=True):
                frame.position = tile.offset(right, up)
            for label in self._labels:
                label.position = -LABEL_DROP * up

    def _look(self) -> None:
        """Step back until all tiles are seen, where their number or the picture's form changed."""
        camera = self._client.camera
        seen = (len(self._drawn), round(camera.aspect, 2))
        if seen == self._seen:
            return
        is_first, self._seen = self._seen is None, seen
        distance = fit_distance(self._drawn, aspect=camera.aspect)
        # A page may say where its camera stood before it was told where to stand.
        away = eye(1.0) if is_first else np.asarray(camera.position) - np.asarray(camera.look_at)
        camera.position = away * distance / max(float(np.linalg.norm(away)), 1e-6)
        # A new position takes the point that is looked at along; so this comes after it.
        camera.look_at = (0.0, 0.0, 0.0)

    def _add(self, index: int, tile: Tile) -> None:
        scene, name = self._client.scene, f"/drawing{self._num_drawings}tile{index}"
        frame = scene.add_frame(name, show_axes=False)
        turn = scene.add_frame(f"{name}/turn", show_axes=False, wxyz=_about_up(self.session.angle))
        self._angle = self.session.angle
        if len(self._drawn) > 1:
            self._labels.append(
                scene.add_label(f"{name}/label", tile.label, anchor="top-center", depth_test=False)
            )
        for layer in tile.layers:
            handle = _add_layer(scene, f"{name}/turn/{layer.name}", layer)
            is_body = isinstance(layer, MeshLayer | PointsLayer) and layer.name != "latent"
            if is_body and self.session.state.layout != "single":
                handle.on_click(lambda _, i=index: self._choose(i))
        self._frames.append(frame)
        self._turns.append(turn)

    def _choose(self, index: int) -> None:
        """Go on with a shape; a click on one that is no longer there does nothing."""
        with suppress(IndexError):
            self.session.choose(index)


def serve(
    models: Models,
    state: State,
    meshes: Mapping[str, Opened],
    *,
    host: str,
    port: int,
) -> None:
    """Serve until interrupted.

    Raises:
        BrowserUnavailableError: without viser, or where nothing can listen at host and port.
    """
    with Browser(models, state, meshes, host=host, port=port) as browser:
        print(f"{browser.url}: open it in a browser; Ctrl-C ends", flush=True)  # noqa: T201
        threading.Event().wait()


def _add_layer(scene: Any, name: str, layer: Layer) -> Any:
    if isinstance(layer, PointsLayer):
        # The engine draws points twice as wide as it is told.
        return scene.add_point_cloud(
            name, layer.points.astype(np.float32), layer.colours,
            point_size=layer.radius, point_shape="circle",
        )  # fmt: skip
    if isinstance(layer, MeshLayer):
        if layer.is_flat:
            return scene.add_mesh_trimesh(name, _two_sided(layer), cast_shadow=False)
        return scene.add_mesh_simple(
            name, layer.vertices, layer.faces, color=tuple(map(int, layer.colours[0])),
            side="double",
        )  # fmt: skip
    colours = np.repeat(layer.colours[:, None], 2, axis=1)
    return scene.add_line_segments(
        name, layer.segments.astype(np.float32), colours, thickness=2 * layer.radius
    )


def _two_sided(layer: MeshLayer) -> trimesh.Trimesh:
    faces = np.concatenate([layer.faces, layer.faces[:, ::-1]])
    return trimesh.Trimesh(layer.vertices, faces, vertex_colors=layer.colours, process=False)


def _about_up(degrees: float) -> tuple[float, float, float, float]:
    half = np.radians(degrees) / 2
    return float(np.cos(half)), 0.0, float(np.sin(half)), 0.0


def _picture_axes(camera: Any) -> tuple[np.ndarray, np.ndarray]:
    """Right and up of a camera that looks along its +z, with +y down."""
    import viser.transforms

    axes = viser.transforms.SO3(np.asarray(camera.wxyz)).as_matrix()
    return axes[:, 0], -axes[:, 1]
