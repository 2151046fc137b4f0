"""The viewer as a window, by Open3D; it draws a session and sends it events."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geoflow.geometry.read_mesh import read_mesh
from geoflow.geometry.read_points import Cloud, is_cloud, read_points
from geoflow_viewer.arrangement import (
    FIELD_OF_VIEW,
    LABEL_DROP,
    REACH,
    columns_of,
    eye,
    fit_distance,
    tile_at,
)
from geoflow_viewer.desktop_panel import DesktopPanel
from geoflow_viewer.export import export, suffixes
from geoflow_viewer.open3d_layers import geometry, material
from geoflow_viewer.scene import SPACING, Tile, tiles
from geoflow_viewer.session import Session
from geoflow_viewer.shortcuts import HELP_KEY, SHORTCUTS, help_lines

# Fits a screen of 1280 x 800 with its bars.
_SIZE = (1200, 720)
_PANEL_EMS = 24
# A press that ends so many pixels away is a drag.
_CLICK = 4
_SKY, _SUN, _SUNLIGHT = 14_000, np.array([-0.4, -0.8, -0.5], np.float32), 36_000


class Window:
    """A window of Open3D's GUI with a session in it; `show` runs it.

    `panel` has the controls, so that a test can move them as a person does.
    """

    def __init__(self, session: Session) -> None:
        import open3d
        from open3d.visualization import gui, rendering

        self.session = session
        self._open3d, self._gui, self._rendering = open3d, gui, rendering
        self.app = gui.Application.instance
        self.app.initialize()
        self._window = self.app.create_window("geoflow", *_SIZE)
        self._scene = gui.SceneWidget()
        self._scene.scene = rendering.Open3DScene(self._window.renderer)
        self._scene.scene.set_background([1, 1, 1, 1])
        self._scene.scene.set_lighting(rendering.Open3DScene.LightingProfile.SOFT_SHADOWS, _SUN)
        # The profile alone bleaches the shapes' colours.
        self._scene.scene.scene.set_indirect_light_intensity(_SKY)
        self._scene.scene.scene.set_sun_light(_SUN, [1.0, 1.0, 1.0], _SUNLIGHT)
        self._scene.set_view_controls(gui.SceneWidget.Controls.ROTATE_CAMERA)
        self._drawn: list[Tile] = []
        self._labels: list[Any] = []
        self._key: tuple[Any, ...] | None = None
        self._placed: tuple[Any, ...] | None = None
        self._is_posted = threading.Event()
        self._is_closed = False
        self._last_tick = time.monotonic()
        self._seen: tuple[int, float] | None = None
        self._distance = 1.0
        self._pressed = (-1, -1)
        self.panel = DesktopPanel(
            gui, self._window.theme.font_size, session, self._do,
            (self.ask_help, self.ask_open, self.ask_export),
        )  # fmt: skip
        self._window.add_child(self._scene)
        self._window.add_child(self.panel.widget)
        self._window.set_on_layout(self._lay_out)
        self._window.set_on_key(self._press)
        self._window.set_on_tick_event(self._tick)
        self._window.set_on_close(self._close)
        self._scene.set_on_mouse(self._click)
        session.subscribe(self._post)

    def run(self, start: Callable[[], None] | None = None) -> None:
        """Call `start`, if any, and return when the window is closed.

        Signals wait for the end of a tick, from before the start until the engine is taken down: a
        second one must not cut that short.
        """
        with _signals_between_ticks() as deliver:
            try:
                if start is not None:
                    start()
                while not self._is_closed and self.app.run_one_tick():
                    deliver()
                deliver()
            finally:
                # The engine is taken down by a tick after this, at Ctrl-C as well; left to the end
                # of Python, it aborts or waits for ever.
                if not self._is_closed:
                    self._window.close()
                self.app.quit()
                self.app.run_one_tick()

    def close(self) -> None:
        """Close the window as its button does."""
        self._window.close()

    @property
    def num_drawn(self) -> int:
        """Shapes in the window."""
        return len(self._drawn)

    @property
    def area(self) -> Any:
        """Rectangle of the scene in the window."""
        return self._scene.frame

    def picture(self) -> Any:
        """What the scene shows now, as an image of Open3D."""
        frame = self._scene.frame
        return self.app.render_to_image(self._scene.scene, frame.width, frame.height)

    def _do(self, act: Callable[[], object]) -> None:
        """Say what a person did wrong, and go on."""
        try:
            act()
        except (ValueError, IndexError, RuntimeError, OSError) as error:
            self._window.show_message_box("Not done", str(error))

    def _lay_out(self, _: Any) -> None:
        area, width = self._window.content_rect, _PANEL_EMS * self._window.theme.font_size
        left = area.get_right() - width
        self._scene.frame = self._gui.Rect(area.x, area.y, left - area.x, area.height)
        self.panel.widget.frame = self._gui.Rect(left, area.y, width, area.height)

    def _post(self) -> None:
        """Ask the window's thread to draw, once for any number of changes; on any thread."""
        if not self._is_closed and not self._is_posted.is_set():
            self._is_posted.set()
            self.app.post_to_main_thread(self._window, self._draw)

    def _draw(self) -> None:
        self._is_posted.clear()
        if self._is_closed:
            return
        with self.session.lock:
            self.panel.sync()
            # Labels have new lines, and what is drawn outside of an event is shown at the next.
            self._window.set_needs_layout()
            self._window.post_redraw()
            result, state = self.session.result, self.session.state
            if result is None:
                return
            key = (id(result), state.show, state.slice)
            if key == self._key:
                return
            self._key = key
            shown = tiles(result, state, columns=columns_of(len(result.items)))
        self._drawn, self._placed = shown, None
        self._look()
        height = 2 * self._distance * np.tan(np.radians(FIELD_OF_VIEW) / 2)
        scale = self._scene.frame.height / height
        self._scene.scene.clear_geometry()
        for i, tile in enumerate(shown):
            for layer in tile.layers:
                self._scene.scene.add_geometry(
                    f"{i}/{layer.name}",
                    geometry(self._open3d, layer),
                    material(self._rendering, layer, pixels_per_unit=scale),
                )
        self._place()

    def _place(self) -> None:
        """Lay the tiles along the axes of the camera's picture, at the turntable's angle."""
        axes = np.asarray(self._scene.scene.camera.get_model_matrix())[:3, :3]
        placed = (self.session.angle, axes.round(4).tobytes(), len(self._drawn))
        if placed == self._placed:
            return
        self._placed = placed
        for label in self._labels:
            self._scene.remove_3d_label(label)
        self._labels = []
        for i, tile in enumerate(self._drawn):
            offset = tile.offset(axes[:, 0], axes[:, 1]) if len(self._drawn) > 1 else np.zeros(3)
            pose = _about_up(self.session.angle)
            pose[:3, 3] = offset
            for layer in tile.layers:
                self._scene.scene.set_geometry_transform(f"{i}/{layer.name}", pose)
            if len(self._drawn) > 1:
                self._labels.append(
                    self._scene.add_3d_label(offset - LABEL_DROP * axes[:, 1], tile.label)
                )
        self._scene.force_redraw()

    def _look(self) -> None:
        """Step back until all tiles are seen, where their number or the picture's form changed."""
        frame, camera = self._scene.frame, self._scene.scene.camera
        aspect = frame.width / max(frame.height, 1)
        seen = (len(self._drawn), round(aspect, 2))
        if seen == self._seen:
            return
        is_first, self._seen = self._seen is None, seen
        self._distance = fit_distance(self._drawn, aspect=aspect)
        reach = SPACING * len(self._drawn) + REACH
        box = self._open3d.geometry.AxisAlignedBoundingBox([-reach] * 3, [reach] * 3)
        away = np.asarray(camera.get_model_matrix())[:3, 3]
        length = float(np.linalg.norm(away))
        self._scene.setup_camera(FIELD_OF_VIEW, box, np.zeros(3))
        place = eye(self._distance) if is_first or length < 1e-6 else away * self._distance / length
        self._scene.look_at(np.zeros(3), place, np.array([0.0, 1.0, 0.0]))

    def _click(self, event: Any) -> Any:
        """Choose the shape under a click that is no drag."""
        kinds = self._gui.MouseEvent.Type
        if event.type == kinds.BUTTON_DOWN:
            self._pressed = (event.x, event.y)
        away = max(abs(event.x - self._pressed[0]), abs(event.y - self._pressed[1]))
        if event.type == kinds.BUTTON_UP and away <= _CLICK:
            self.click(event.x, event.y)
        # The camera turns by the same events.
        return self._gui.SceneWidget.EventCallbackResult.IGNORED

    def click(self, x: float, y: float) -> None:
        """Choose the shape of a layout at a pixel of the window, if there is one."""
        if self.session.state.layout == "single":
            return
        frame, camera = self._scene.frame, self._scene.scene.camera
        view, projection = camera.get_view_matrix(), camera.get_projection_matrix()
        index = tile_at(
            self._drawn,
            2 * (x - frame.x) / frame.width - 1,
            1 - 2 * (y - frame.y) / frame.height,
            view=np.asarray(view, float),
            projection=np.asarray(projection, float),
        )
        if index is not None:
            self._do(lambda: self.session.choose(index))

    def _press(self, event: Any) -> bool:
        if event.type != self._gui.KeyEvent.Type.DOWN or not 0 < int(event.key) < 128:
            return False
        key = chr(int(event.key)).upper()
        if key == HELP_KEY:
            self.ask_help()
        elif key in SHORTCUTS:
            self._do(lambda: SHORTCUTS[key].act(self.session))
        else:
            return False
        return True

    def _tick(self) -> bool:
        now = time.monotonic()
        self.session.tick(now - self._last_tick)
        self._last_tick = now
        if self._drawn:
            # The window may have another form than at the last drawing.
            self._look()
            self._place()
        return self.session.is_turning or self.session.is_playing

    def ask_help(self) -> None:
        """Show the keys."""
        self._window.show_message_box("Keys", "\n".join(help_lines()))

    def ask_open(self) -> None:
        """Ask for a file of a mesh, and reconstruct it, or of a cloud, and make a solid of it."""

        def load(path: str) -> None:
            try:
                opened = read_points(Path(path)) if is_cloud(Path(path)) else read_mesh(path)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            if isinstance(opened, Cloud):
                self.session.open_cloud(path, opened)
            else:
                self.session.open_mesh(path, opened, reconstruct=True)

        self._ask(self._gui.FileDialog.OPEN, "Open a mesh or a cloud", load)

    def ask_export(self) -> None:
        """Ask for a file, and write what is on the screen by its suffix."""
        result, state = self.session.result, self.session.state
        if result is None:
            raise ValueError("there is no shape yet")

        def save(path: str) -> None:
            def write() -> None:
                try:
                    export(result, state, Path(path))
                    said = ("Written", path)
                except (ValueError, RuntimeError, OSError) as error:
                    said = ("Not written", str(error))
                self.app.post_to_main_thread(
                    self._window, lambda: self._window.show_message_box(*said)
                )

            # A film takes a while.
            threading.Thread(target=write, name="geoflow export", daemon=True).start()

        title = f"Export by suffix: {' '.join(suffixes(result))}"
        self._ask(self._gui.FileDialog.SAVE, title, save)

    def _ask(self, mode: Any, title: str, act: Callable[[str], None]) -> None:
        dialog = self._gui.FileDialog(mode, title, self._window.theme)

        def done(path: str) -> None:
            self._window.close_dialog()
            self._do(lambda: act(path))

        dialog.set_on_cancel(self._window.close_dialog)
        dialog.set_on_done(done)
        self._window.show_dialog(dialog)

    def _close(self) -> bool:
        self._is_closed = True
        return True


def show(session: Session) -> None:
    """Open a window and return when it is closed."""
    Window(session).run(session.start)


@contextmanager
def _signals_between_ticks() -> Iterator[Callable[[], None]]:
    """Gives what lets signals that came do what they would have done.

    What a handler raises inside of a tick can be lost: the engine calls us from where no exception
    may pass.
    """
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: h for number, h in found.items() if h not in (None, signal.SIG_IGN)}

    def deliver() -> None:
        while came:
            number = came.pop(0)
            handler = before[number]
            if callable(handler):
                # Called as it is, so that signals that come meanwhile still wait.
                handler(number, None)
            else:  # Python has none: the system ends the process.
                signal.signal(number, handler)
                signal.raise_signal(number)

    try:
        for number in before:
            signal.signal(number, note)
        yield deliver
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _about_up(degrees: float) -> Float[np.ndarray, "4 4"]:
    return np.asarray(trimesh.transformations.rotation_matrix(np.radians(degrees), [0.0, 1.0, 0.0]))
