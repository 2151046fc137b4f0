"""The viewer as a window, by Open3D; it draws a session and sends it events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from geoflow_viewer.command import command
from geoflow_viewer.export import EXPORTS, export
from geoflow_viewer.scene import Layer, MeshLayer, PointsLayer, SegmentsLayer, Tile, tiles
from geoflow_viewer.session import Session
from geoflow_viewer.shortcuts import HELP_KEY, SHORTCUTS, help_lines
from geoflow_viewer.state import LAYOUTS, MAX_STEPS, SHOWS

_SIZE = (1200, 860)
_PANEL_EMS = 21
_EYE = np.array([1.9, 1.5, 2.9])
_FIELD_OF_VIEW = 45.0
_SKY, _SUN, _SUNLIGHT = 14_000, np.array([-0.4, -0.8, -0.5], np.float32), 36_000


class Window:
    """A window of Open3D's GUI with a session in it; `show` runs it.

    Controls are attributes, so that a test can move them as a person does.
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
        self._panel = self._build_panel()
        self._window.add_child(self._scene)
        self._window.add_child(self._panel)
        self._window.set_on_layout(self._lay_out)
        self._window.set_on_key(self._press)
        self._window.set_on_tick_event(self._tick)
        self._window.set_on_close(self._close)
        self._look_from_front()
        session.subscribe(self._post)

    def run(self) -> None:
        """Return when the window is closed."""
        while not self._is_closed and self.app.run_one_tick():
            pass
        # The engine is taken down by a tick after this; left to the end of Python, it aborts.
        self.app.quit()
        self.app.run_one_tick()

    def close(self) -> None:
        """Close the window as its button does."""
        self._window.close()

    def move(self, name: str, value: float) -> None:
        """Set a state's number as a drag of its slider does."""
        self._set(**({"steps": round(value), "ode": False} if name == "steps" else {name: value}))

    @property
    def num_drawn(self) -> int:
        """Shapes in the window."""
        return len(self._drawn)

    def picture(self) -> Any:
        """What the scene shows now, as an image of Open3D."""
        frame = self._scene.frame
        return self.app.render_to_image(self._scene.scene, frame.width, frame.height)

    def _build_panel(self) -> Any:
        gui, session = self._gui, self.session
        em = self._window.theme.font_size
        panel = gui.ScrollableVert(0.3 * em, gui.Margins(0.6 * em, 0.6 * em, 0.6 * em, 0.6 * em))
        self.model = self._choice(session.models.names, lambda text: self._set(
            model=text, category=None))  # fmt: skip
        self.category = self._choice(session.categories, lambda text: self._set(category=text))
        self.seed = self._number(lambda value: self._set(seed=int(value)))
        self.new_seed = self._button("New", session.new_seed)
        self.lock = self._check("Lock", lambda on: self._set(locked=on))
        self.steps = gui.Slider(gui.Slider.INT)
        self.steps.set_limits(1, MAX_STEPS)
        self.steps.set_on_value_changed(lambda value: self.move("steps", value))
        self.layout = self._choice(LAYOUTS, lambda text: self._set(layout=text))
        self.choose = self._number(lambda value: self._do(lambda: session.choose(int(value) - 1)))
        self.time = self._slider(0.0, 1.0, lambda value: self.move("time", round(value, 2)))
        self.to_seed = self._number(lambda value: self._set(to_seed=int(value)))
        self.blend = self._slider(0.0, 1.0, lambda value: self.move("blend", round(value, 2)))
        self.play = self._check("Play between", session.play)
        self.shows = {show: self._check(show, self._toggling(show)) for show in SHOWS}
        self.slice = self._slider(-1.0, 1.0, lambda value: self.move("slice", round(value, 2)))
        self.turn = self._check("turntable", session.turn)
        self.status, self.measures = gui.Label(""), gui.Label("")
        self.command = gui.TextEdit()
        rows: list[tuple[str, tuple[Any, ...]]] = [
            ("Model", (self.model,)),
            ("Category", (self.category,)),
            ("Seed", (self.seed, self.new_seed, self.lock)),
            ("Steps", (self.steps,)),
            ("Layout", (self.layout,)),
            ("Choose", (self.choose,)),
            ("Noise to shape", (self.time,)),
            ("To seed", (self.to_seed, self.play)),
            ("Between", (self.blend,)),
            ("Show", tuple(self.shows[show] for show in SHOWS[:3])),
            ("", (*(self.shows[show] for show in SHOWS[3:]), self.turn)),
            ("Slice at x", (self.slice,)),
            ("", (self._button("Undo", session.undo), self._button("Redo", session.redo),
                  self._button(f"Keys ({HELP_KEY})", self._help))),
            ("", (self._button("Open a mesh", self._ask_open),
                  self._button("Export", self._ask_export),
                  self._button("Samples", lambda: self._set(mesh=None)))),
        ]  # fmt: skip
        for label, widgets in rows:
            row = gui.Horiz(0.4 * em)
            if label:
                row.add_child(gui.Label(label))
            for widget in widgets:
                row.add_child(widget)
            panel.add_child(row)
        for widget in (self.status, self.measures, gui.Label("Command"), self.command):
            panel.add_child(widget)
        return panel

    def _choice(self, names: Any, act: Callable[[str], None]) -> Any:
        box = self._gui.Combobox()
        for name in names:
            box.add_item(name)
        box.set_on_selection_changed(lambda text, _: act(text))
        return box

    def _number(self, act: Callable[[Any], None]) -> Any:
        edit = self._gui.NumberEdit(self._gui.NumberEdit.INT)
        edit.set_on_value_changed(act)
        return edit

    def _slider(self, low: float, high: float, act: Callable[[Any], None]) -> Any:
        slider = self._gui.Slider(self._gui.Slider.DOUBLE)
        slider.set_limits(low, high)
        slider.set_on_value_changed(act)
        return slider

    def _check(self, label: str, act: Callable[[bool], object]) -> Any:
        box = self._gui.Checkbox(label)
        box.set_on_checked(lambda on: self._do(lambda: act(on)))
        return box

    def _button(self, label: str, act: Callable[[], object]) -> Any:
        button = self._gui.Button(label)
        button.vertical_padding_em = 0.1
        button.set_on_clicked(lambda: self._do(act))
        return button

    def _toggling(self, show: str) -> Callable[[bool], object]:
        return lambda _: self.session.toggle(show)

    def _set(self, **values: Any) -> None:
        self._do(lambda: self.session.change(**values))

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
        self._panel.frame = self._gui.Rect(left, area.y, width, area.height)

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
            self._sync()
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
            shown = tiles(result, state)
        self._drawn, self._placed = shown, None
        self._scene.scene.clear_geometry()
        for i, tile in enumerate(shown):
            for layer in tile.layers:
                self._scene.scene.add_geometry(
                    f"{i}/{layer.name}", _geometry(self._open3d, layer), self._material(layer)
                )
        self._place()

    def _sync(self) -> None:
        session, state = self.session, self.session.state
        names = session.categories
        if self.category.number_of_items != len(names):
            self.category.clear_items()
            for name in names:
                self.category.add_item(name)
        if names:
            self.category.selected_text = state.category or names[0]
        self.model.selected_text = state.model
        self.layout.selected_text = state.layout
        self.seed.int_value = state.seed
        self.seed.enabled = self.new_seed.enabled = not state.locked
        self.lock.checked = state.locked
        self.steps.int_value = min(state.steps, MAX_STEPS)
        self.time.double_value, self.blend.double_value = state.time, state.blend
        self.slice.double_value = state.slice
        self.to_seed.int_value = 0 if state.to_seed is None else state.to_seed
        self.play.checked, self.turn.checked = session.is_playing, session.is_turning
        for show, box in self.shows.items():
            box.checked = show in state.show
        result = session.result
        if session.error:
            self.status.text = session.error
        elif result is not None:
            refining = ", refining" if session.is_busy else ""
            self.status.text = f"{result.resolution}^3 in {result.seconds:.2f} s{refining}"
        if result is not None and result.items[0].measures is not None:
            self.measures.text = "\n".join(result.items[0].measures.lines())
        resolution = 128 if result is None else result.resolution
        self.command.text_value = command(state, resolution=resolution, out="geoflow.obj")

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
                    self._scene.add_3d_label(offset - 1.15 * axes[:, 1], tile.label)
                )
        self._scene.force_redraw()

    def _material(self, layer: Layer) -> Any:
        material = self._rendering.MaterialRecord()
        if isinstance(layer, SegmentsLayer):
            material.shader, material.line_width = "unlitLine", 2.0
        elif isinstance(layer, PointsLayer):
            material.shader = "defaultUnlit"
            material.point_size = 6.0 if layer.name == "points" else 14.0
        else:
            material.shader = "defaultUnlit" if layer.is_flat else "defaultLit"
        return material

    def _look_from_front(self) -> None:
        box = self._open3d.geometry.AxisAlignedBoundingBox([-1.2] * 3, [1.2] * 3)
        self._scene.setup_camera(_FIELD_OF_VIEW, box, np.zeros(3))
        self._scene.look_at(np.zeros(3), _EYE, np.array([0.0, 1.0, 0.0]))

    def _press(self, event: Any) -> bool:
        if event.type != self._gui.KeyEvent.Type.DOWN or not 0 < int(event.key) < 128:
            return False
        key = chr(int(event.key)).upper()
        if key == HELP_KEY:
            self._help()
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
            self._place()
        return self.session.is_turning or self.session.is_playing

    def _help(self) -> None:
        self._window.show_message_box("Keys", "\n".join(help_lines()))

    def _ask_open(self) -> None:
        def load(path: str) -> None:
            mesh = trimesh.load_mesh(path)
            self.session.open_mesh(path, mesh, reconstruct=True)

        self._ask(self._gui.FileDialog.OPEN, "Open a mesh", load)

    def _ask_export(self) -> None:
        def save(path: str) -> None:
            result, state = self.session.result, self.session.state
            if result is None:
                raise ValueError("there is no shape yet")

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

        self._ask(self._gui.FileDialog.SAVE, f"Export by suffix: {' '.join(EXPORTS)}", save)

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
    window = Window(session)
    session.start()
    window.run()


def _geometry(open3d: Any, layer: Layer) -> Any:
    vector, utility = open3d.utility.Vector3dVector, open3d.utility
    colours = layer.colours / 255.0
    if isinstance(layer, MeshLayer):
        faces = layer.faces
        if layer.is_flat:
            faces = np.concatenate([faces, faces[:, ::-1]])
        mesh = open3d.geometry.TriangleMesh(
            vector(layer.vertices), utility.Vector3iVector(np.ascontiguousarray(faces, np.int32))
        )
        mesh.vertex_colors = vector(colours)
        mesh.compute_vertex_normals()
        return mesh
    if isinstance(layer, PointsLayer):
        cloud = open3d.geometry.PointCloud(vector(layer.points))
        cloud.colors = vector(colours)
        return cloud
    lines = open3d.geometry.LineSet(
        vector(layer.segments.reshape(-1, 3)),
        utility.Vector2iVector(np.arange(2 * len(layer.segments), dtype=np.int32).reshape(-1, 2)),
    )
    lines.colors = vector(colours)
    return lines


def _about_up(degrees: float) -> Float[np.ndarray, "4 4"]:
    return np.asarray(trimesh.transformations.rotation_matrix(np.radians(degrees), [0.0, 1.0, 0.0]))
