"""The browser's side panel: controls of a session's state, and what there is to read."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from geoflow.geometry.read_points import Cloud
from geoflow_viewer.cloud_controls import cloud_controls
from geoflow_viewer.command import command
from geoflow_viewer.export import EXPORTS, export_bytes, suffixes
from geoflow_viewer.items import RUNGS
from geoflow_viewer.line import in_words
from geoflow_viewer.privacy import without_folders
from geoflow_viewer.session import Session
from geoflow_viewer.shortcuts import HELP_KEY, SHORTCUTS, Shortcut, help_lines
from geoflow_viewer.state import LAYOUTS, MAX_SEED, MAX_STEPS, SHOWS, parts
from geoflow_viewer.upload import read_upload

_SHOW_LABELS = {
    "mesh": "Mesh",
    "wireframe": "Wireframe",
    "points": "Point cloud",
    "latent": "Latent vectors",
    "slice": "Slice of the distance",
}

# The slice has a box, and a slider of its place.
_BOXES = {f"show {show}": show for show in SHOWS}


DARK = "geoflow-dark"
"""Where a browser keeps that its page is dark."""


def theme(gui: Any, *, is_dark: bool) -> None:
    """Dress a page, or all pages, in light or dark."""
    gui.configure_theme(show_share_button=False, show_logo=False, dark_mode=is_dark)


class Panel:
    """Controls and texts of one visitor.

    A control tells the session its value; `sync` tells controls what changed otherwise.

    Args:
        client: of viser.
        session: what is controlled.
        is_narrow: whether the page is so narrow that the panel lies over the picture: its folders
            then begin closed, so that the shape is seen first.
        is_dark: whether the page begins dark.
    """

    def __init__(
        self, client: Any, session: Session, *, is_narrow: bool = False, is_dark: bool = False
    ) -> None:
        self._client, self._session, self._gui = client, session, client.gui
        self._is_narrow, self._is_dark = is_narrow, is_dark
        self._modal: Any = None
        self._leave: Any = None
        self._controls: dict[str, Any] = {}
        self._synced: dict[str, Any] = {}
        self._told: dict[int, str] = {}
        # The control that is being moved is not moved by its own echo.
        self._editing: str | None = None
        self._add_sample()
        self._add_way()
        self._add_look()
        with self._folder("Opened cloud") as self._cloud_folder:
            self._of_clouds = cloud_controls(self._gui, session.state)
        for name, handle in self._of_clouds.items():
            self._control(name, handle)
        self._add_file()
        self._add_keys()
        self.sync()

    def sync(self) -> None:
        """Bring controls and texts to the session; called with its lock held."""
        state = self._session.state
        names = self._session.categories or (self._shown("category"),)
        if tuple(self._controls["category"].options) != names:
            self._controls["category"].options = names
        models = tuple(self._session.model_names)
        if tuple(self._controls["model"].options) != models:
            self._controls["model"].options = models
        for part in (self._cloud_folder, *self._of_clouds.values()):
            part.visible = state.cloud is not None
        for name, control in self._controls.items():
            value = self._shown(name)
            if value == self._synced.get(name):
                continue
            self._synced[name] = value
            if name != self._editing and control.value != value:
                control.value = value
        possible = self._session.shows
        for show in SHOWS:
            self._controls[f"show {show}"].visible = show in possible
        self._controls["slice"].visible = "slice" in possible
        formats = self._formats()
        if tuple(self._suffix.options) != formats:
            self._suffix.options = formats
        self._seed.disabled = state.locked
        self._play.value = self._session.is_playing
        self._turn.value = self._session.is_turning
        self._say(self._status, self._status_text())
        self._say(self._measures, self._measures_text())
        self._say(self._command, self._command_text())
        labels = [str(i + 1) for i in range(len(parts(state)))]
        self._choose.visible = state.layout != "single"
        if tuple(self._choose.options) != tuple(labels):
            self._choose.options = labels

    def _add_sample(self) -> None:
        gui, state = self._gui, self._session.state
        with self._folder("Sample"):
            self._control("model", gui.add_dropdown(
                "Model", self._session.model_names, initial_value=state.model))  # fmt: skip
            self._control("category", gui.add_dropdown(
                "Category", [self._shown("category")]))  # fmt: skip
            self._seed = gui.add_number("Seed", state.seed, min=0, max=MAX_SEED, step=1)
            self._control("seed", self._seed)
            self._button("New seed", lambda: self._session.new_seed())
            self._control("locked", gui.add_checkbox("Lock", state.locked))
            self._control("steps", gui.add_slider(
                "Steps", 1, MAX_STEPS, 1, min(state.steps, MAX_STEPS)))  # fmt: skip
            self._control("layout", gui.add_dropdown(
                "Layout", LAYOUTS, initial_value=state.layout))  # fmt: skip
            self._choose = gui.add_button_group("Choose", ["1"], visible=False)
            self._choose.on_click(
                lambda _: self._guard(lambda: self._session.choose(int(self._choose.value) - 1))
            )

    def _add_way(self) -> None:
        gui, state = self._gui, self._session.state
        with self._folder("On the way"):
            self._control("time", gui.add_slider("Noise to shape", 0.0, 1.0, 0.01, state.time))
            self._control("to_seed", gui.add_text(
                "To seed", self._shown("to_seed"), hint="empty: none"))  # fmt: skip
            self._control("blend", gui.add_slider("Between", 0.0, 1.0, 0.01, state.blend))
            self._play = gui.add_checkbox("Play between", False)
            self._play.on_update(lambda _: self._guard(self._set_playing))

    def _add_look(self) -> None:
        gui, state = self._gui, self._session.state
        with self._folder("Look"):
            for show in SHOWS:
                self._control(
                    f"show {show}",
                    gui.add_checkbox(_SHOW_LABELS[show], show in self._session.shown),
                )
            self._control("slice", gui.add_slider("Slice at x", -1.0, 1.0, 0.02, state.slice))
            self._turn = gui.add_checkbox("Turntable", False)
            self._turn.on_update(lambda _: self._guard(self._set_turning))
            dark = gui.add_checkbox("Dark", self._is_dark)
            dark.on_update(lambda _: self._guard(lambda: self.darken(bool(dark.value))))
            back = gui.add_button_group("Go", ["Undo", "Redo"])
            back.on_click(lambda _: self._guard(
                self._session.undo if back.value == "Undo" else self._session.redo))  # fmt: skip

    def _add_file(self) -> None:
        gui = self._gui
        with self._folder("File"):
            upload = gui.add_upload_button("Open a mesh or a cloud of points", mime_type="*/*")
            upload.on_upload(lambda _: self._guard(
                lambda: self._open(upload.value.name, upload.value.content)))  # fmt: skip
            self._button("Back to samples", self._session.leave_opened)
            self._suffix = gui.add_dropdown("Format", tuple(EXPORTS), initial_value=".obj")
            self._suffix.on_update(lambda _: self._guard(self._sync_all))
            self._button("Download", self._download)
        with self._folder("Numbers"):
            self._status = gui.add_markdown("")
            self._measures = gui.add_html("")
            self._command = gui.add_html("")
            self._button(f"Keys ({HELP_KEY})", self._help)

    def _add_keys(self) -> None:
        for key, shortcut in SHORTCUTS.items():
            handle = self._gui.add_command(shortcut.label, hotkey=key)
            handle.on_trigger(lambda _, s=shortcut: self._press(s))
        helper = self._gui.add_command("keys", hotkey=HELP_KEY)
        helper.on_trigger(lambda _: self._help())

    def _press(self, shortcut: Shortcut) -> None:
        """Act, unless the help lies over what would change."""
        if self._modal is None:
            self._guard(lambda: shortcut.act(self._session))

    def darken(self, on: bool) -> None:
        """Show the page dark or light, and let the browser keep that."""
        theme(self._gui, is_dark=on)
        self._client.local_storage.set_item(DARK, "1" if on else "")

    def _control(self, name: str, handle: Any) -> None:
        self._controls[name] = handle

        def moved(_: Any) -> None:
            # Events come on many threads: the newest value counts, in whatever order.
            with self._session.lock:
                before, self._editing = self._editing, name
                try:
                    self._guard(lambda: self._apply(name, handle.value))
                finally:
                    self._editing = before

        handle.on_update(moved)

    def _apply(self, name: str, value: Any) -> None:
        if value == self._shown(name):
            return
        if name in _BOXES:
            self._session.toggle(_BOXES[name])
            # The last thing shown stays, and its box ticked.
            self._controls[name].value = self._shown(name)
        elif name == "steps":
            if not 1 <= value <= MAX_STEPS:
                raise ValueError(f"steps must be from 1 to {MAX_STEPS}, got {value}")
            self._session.change(steps=int(value), ode=False)
        elif name == "to_seed":
            self._session.change(to_seed=int(value) if value.strip() else None)
        elif name == "category":
            self._session.change(category=value)
        elif name == "model":
            self._session.change(model=value, category=None)
        else:
            self._session.change(**{name: int(value) if name == "seed" else value})

    def _set_playing(self) -> None:
        if self._play.value != self._session.is_playing:
            self._session.play(self._play.value)

    def _set_turning(self) -> None:
        if self._turn.value != self._session.is_turning:
            self._session.turn(self._turn.value)

    def _folder(self, label: str) -> Any:
        return self._gui.add_folder(label, expand_by_default=not self._is_narrow)

    def _button(self, label: str, act: Callable[[], object]) -> None:
        self._gui.add_button(label).on_click(lambda _: self._guard(act))

    def _guard(self, act: Callable[[], object]) -> None:
        """Say what a person did wrong, and go on."""
        try:
            act()
        except (ValueError, LookupError, RuntimeError, TypeError, AttributeError) as error:
            # What a page sends may be of any type.
            self._client.add_notification("Not done", without_folders(str(error)), color="red")

    def _open(self, name: str, content: bytes) -> None:
        opened = read_upload(name, content)
        if isinstance(opened, Cloud):
            self._session.open_cloud(name, opened)
        else:
            self._session.open_mesh(name, opened, reconstruct=True)

    def _download(self) -> None:
        result, state = self._session.result, self._session.state
        if result is None:
            raise ValueError("there is no shape yet")
        suffix = self._suffix.value
        self._client.send_file_download(
            self._file_name(), export_bytes(result, state, suffix), save_immediately=True
        )

    def _formats(self) -> tuple[str, ...]:
        result = self._session.result
        return tuple(EXPORTS) if result is None else suffixes(result)

    def _file_name(self) -> str:
        return f"geoflow{self._suffix.value}"

    def _sync_all(self) -> None:
        with self._session.lock:
            self.sync()

    def _help(self) -> None:
        """Show the keys; the same key closes them, one press after the other."""
        with self._session.lock:
            if self._modal is not None:
                self._close_help()
                return
            with self._gui.add_modal("Keys") as self._modal:
                self._gui.add_markdown("```\n" + "\n".join(help_lines()) + "\n```")
                self._gui.add_button("Close").on_click(lambda _: self._close_help())
            # A dialog of viser is closed by its server alone.
            self._leave = self._gui.add_command("close the keys", hotkey="escape")
            self._leave.on_trigger(lambda _: self._close_help())

    def _close_help(self) -> None:
        with self._session.lock:
            modal, self._modal = self._modal, None
            if modal is not None:
                modal.close()
                self._leave.remove()

    def _say(self, handle: Any, text: str) -> None:
        if self._told.get(id(handle)) == text:
            return
        self._told[id(handle)] = text
        handle.content = text

    def _status_text(self) -> str:
        session = self._session
        if session.error:
            return f"**{html.escape(without_folders(session.error))}**"
        if session.place:
            return f"waiting for other visitors: {in_words(session.place)}"
        if session.result is None:
            return "generating"
        made = f"{session.result.detail} in {session.result.seconds:.2f} s"
        return made + (", refining" if session.is_busy else "")

    def _measures_text(self) -> str:
        result = self._session.result
        if result is None or result.items[0].measures is None:
            return ""
        lines = "<br>".join(map(html.escape, result.items[0].measures.lines()))
        return f'<div style="padding:0 0.8em 0.5em;font-size:0.85em">{lines}</div>'

    def _command_text(self) -> str:
        session, result = self._session, self._session.result
        line = command(
            session.state,
            rung=RUNGS[1] if result is None else result.rung,
            out=self._file_name(),
            kind=session.kind,
            shows=session.shows,
        )
        safe = html.escape(line, quote=True)
        return (
            '<div style="padding:0 0.8em 0.5em;font-size:0.85em">'
            f'<code style="user-select:all;overflow-wrap:anywhere">{safe}</code> '
            f'<button data-command="{safe}" '
            'onclick="navigator.clipboard.writeText(this.dataset.command)">Copy</button></div>'
        )

    def _shown(self, name: str) -> Any:
        """What a control shows of the state."""
        state = self._session.state
        if name in _BOXES:
            return _BOXES[name] in self._session.shown
        value = getattr(state, name)
        if name == "steps":
            return min(value, MAX_STEPS)
        if name == "to_seed":
            return "" if value is None else str(value)
        if name == "category" and value is None:
            return next(iter(self._session.categories), "")
        return value
