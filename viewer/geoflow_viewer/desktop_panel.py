"""The window's side panel: controls of a session's state, and what there is to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from geoflow_viewer.clipboard import copy
from geoflow_viewer.command import command
from geoflow_viewer.items import RUNGS
from geoflow_viewer.session import Session
from geoflow_viewer.shortcuts import HELP_KEY
from geoflow_viewer.state import (
    FEWEST_POINTS,
    LAYOUTS,
    MAX_STEPS,
    MOST_POINTS,
    NUM_ANSWERS,
    SHOWS,
    parts,
)

Act = Callable[[], object]


class DesktopPanel:
    """Widgets of Open3D's GUI; each tells the session its value, `sync` tells them the state's.

    Args:
        gui: the module of Open3D.
        em: height of a line in pixels.
        session: what is controlled.
        do: runs an act of a person, and says what was wrong with it.
        dialogs: acts of the buttons that open dialogs: help, open, export.
    """

    def __init__(
        self,
        gui: Any,
        em: float,
        session: Session,
        do: Callable[[Act], None],
        dialogs: Sequence[Act],
    ) -> None:
        self._gui, self._em, self._session, self._do = gui, em, session, do
        # Left, top, right, bottom; the bar of its scrolling lies over what is at the right.
        margins = gui.Margins(0.6 * em, 0.6 * em, 1.6 * em, 0.6 * em)
        self.widget = gui.ScrollableVert(0.35 * em, margins)
        self.model = self._choice(
            session.model_names, lambda text: session.change(model=text, category=None)
        )
        self.category = self._choice(session.categories, lambda text: session.change(category=text))
        self.seed = self._number(lambda value: session.change(seed=value))
        self.new_seed = self._button("New", session.new_seed)
        self.lock = self._check("Lock", lambda on: session.change(locked=on))
        self.steps = gui.Slider(gui.Slider.INT)
        self.steps.set_limits(1, MAX_STEPS)
        self.steps.set_on_value_changed(lambda value: self.move("steps", value))
        self.given = self._slider("given", FEWEST_POINTS, MOST_POINTS, whole=True)
        self.answer = self._slider("answer", 0, NUM_ANSWERS - 1, whole=True)
        self.mirrored = self._check("mirrored", lambda on: session.change(mirrored=on))
        self.layout = self._choice(LAYOUTS, lambda text: session.change(layout=text))
        self.choose = self._number(lambda value: session.choose(value - 1))
        self.choose.set_limits(1, 9)
        self.time = self._slider("time", 0.0, 1.0)
        self.to_seed = self._number(lambda value: session.change(to_seed=value))
        self.blend = self._slider("blend", 0.0, 1.0)
        self.play = self._check("Play", session.play)
        self.shows = {show: self._check(show, self._toggling(show)) for show in SHOWS}
        self.slice = self._slider("slice", -1.0, 1.0)
        self.turn = self._check("turntable", session.turn)
        self.status, self.measures = gui.Label(""), gui.Label("")
        self.command, self.copy = gui.TextEdit(), self._button("Copy", self._copy)
        self._fill(self._rows(session, *dialogs))
        for widget in (self.command, self.status, self.measures):
            self.widget.add_child(widget)

    def _rows(
        self, session: Session, ask_help: Act, ask_open: Act, ask_export: Act
    ) -> list[tuple[str, list[Any]]]:
        """The controls by their labels, from above."""
        return [
            ("Model", [self.model]),
            ("Category", [self.category]),
            ("Seed", [self.seed, self.new_seed, self.lock]),
            ("Steps", [self.steps]),
            ("Layout", [self.layout]),
            ("Choose", [self.choose]),
            ("Way", [self.time]),
            ("To seed", [self.to_seed, self.play]),
            ("Between", [self.blend]),
            ("Points given", [self.given]),
            ("Answer", [self.answer, self.mirrored]),
            ("Show", [self.shows[show] for show in SHOWS[:3]]),
            ("", [*(self.shows[show] for show in SHOWS[3:]), self.turn]),
            ("Slice at x", [self.slice]),
            ("Go", [self._button("Undo", session.undo), self._button("Redo", session.redo),
                    self._button(f"Keys ({HELP_KEY})", ask_help)]),
            ("File", [self._button("Open", ask_open), self._button("Export", ask_export),
                      self._button("Samples", session.leave_opened)]),
            ("Command", [self.copy]),
        ]  # fmt: skip

    def move(self, name: str, value: float) -> None:
        """Set a state's number as a drag of its slider does."""
        if name == "steps":
            self._do(lambda: self._session.change(steps=round(value), ode=False))
        elif name in ("given", "answer"):
            self._do(lambda: self._session.change(**{name: round(value)}))
        else:
            self._do(lambda: self._session.change(**{name: round(value, 2)}))

    def sync(self) -> None:
        """Bring widgets and texts to the session; called with its lock held."""
        session, state = self._session, self._session.state
        self._sync_names()
        self.layout.selected_text = state.layout
        self.seed.int_value = state.seed
        self.seed.enabled = self.new_seed.enabled = not state.locked
        self.lock.checked = state.locked
        self.steps.int_value = min(state.steps, MAX_STEPS)
        self.given.int_value, self.answer.int_value = state.given, state.answer
        self.mirrored.checked = state.mirrored
        for widget in (self.given, self.answer, self.mirrored):
            widget.enabled = state.cloud is not None
        self.time.double_value, self.blend.double_value = state.time, state.blend
        self.slice.double_value = state.slice
        self.to_seed.int_value = 0 if state.to_seed is None else state.to_seed
        self.play.checked, self.turn.checked = session.is_playing, session.is_turning
        self.choose.enabled = len(parts(state)) > 1 and state.layout != "single"
        for show, box in self.shows.items():
            box.checked = show in session.shown
            box.visible = show in session.shows
        self.slice.enabled = "slice" in session.shown
        self.status.text = self._status_text()
        result = session.result
        measures = None if result is None else result.items[0].measures
        self.measures.text = "" if measures is None else "\n".join(measures.lines())
        self.command.text_value = self.command_text()

    def command_text(self) -> str:
        """The command that makes what is on the screen again."""
        session, result = self._session, self._session.result
        suffix = session.kind.suffix
        return command(
            session.state,
            rung=RUNGS[1] if result is None else result.rung,
            out=f"geoflow{suffix}",
            kind=session.kind,
            shows=session.shows,
        )

    def _sync_names(self) -> None:
        state, names = self._session.state, self._session.categories
        self._fill_names(self.model, self._session.model_names)
        self.model.selected_text = state.model
        self._fill_names(self.category, names)
        if names:
            self.category.selected_text = state.category or names[0]

    @staticmethod
    def _fill_names(box: Any, names: Sequence[str]) -> None:
        if box.number_of_items != len(names):
            box.clear_items()
            for name in names:
                box.add_item(name)

    def _status_text(self) -> str:
        session = self._session
        if session.error:
            return session.error
        if session.result is None:
            return "generating"
        # The window's font has no raised three.
        made = f"{session.result.detail.replace('³', '^3')} in {session.result.seconds:.2f} s"
        return made + (", refining" if session.is_busy else "")

    def _copy(self) -> None:
        copy(self.command_text())

    def _fill(self, rows: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Labels in one column, controls in the other."""
        grid = self._gui.VGrid(2, 0.4 * self._em)
        for label, widgets in rows:
            grid.add_child(self._gui.Label(label))
            if len(widgets) == 1:
                grid.add_child(widgets[0])
                continue
            row = self._gui.Horiz(0.4 * self._em)
            for widget in widgets:
                row.add_child(widget)
            grid.add_child(row)
        self.widget.add_child(grid)

    def _choice(self, names: Sequence[str], act: Callable[[str], None]) -> Any:
        box = self._gui.Combobox()
        for name in names:
            box.add_item(name)
        box.set_on_selection_changed(lambda text, _: self._do(lambda: act(text)))
        return box

    def _number(self, act: Callable[[int], None]) -> Any:
        edit = self._gui.NumberEdit(self._gui.NumberEdit.INT)
        edit.set_on_value_changed(lambda value: self._do(lambda: act(int(value))))
        return edit

    def _slider(self, name: str, low: float, high: float, *, whole: bool = False) -> Any:
        kind = self._gui.Slider.INT if whole else self._gui.Slider.DOUBLE
        slider = self._gui.Slider(kind)
        slider.set_limits(low, high)
        slider.set_on_value_changed(lambda value: self.move(name, value))
        return slider

    def _check(self, label: str, act: Callable[[bool], object]) -> Any:
        box = self._gui.Checkbox(label)
        box.set_on_checked(lambda on: self._do(lambda: act(on)))
        return box

    def _button(self, label: str, act: Act) -> Any:
        button = self._gui.Button(label)
        button.vertical_padding_em = 0.1
        button.set_on_clicked(lambda: self._do(act))
        return button

    def _toggling(self, show: str) -> Callable[[bool], object]:
        return lambda _: self._session.toggle(show)
