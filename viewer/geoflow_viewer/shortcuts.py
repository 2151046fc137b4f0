"""Keys, the same in the window and in the browser; w, a, s, d, q and e move its camera there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from geoflow_viewer.session import Session
from geoflow_viewer.state import MAX_STEPS


@dataclass(frozen=True)
class Shortcut:
    """What a key does, for people and for a session."""

    label: str
    act: Callable[[Session], object]


def _set_steps(steps: int) -> Callable[[Session], object]:
    return lambda session: session.change(steps=steps, ode=False)


def _toggle(show: str) -> Callable[[Session], object]:
    return lambda session: session.toggle(show)


def _arrange(layout: str) -> Callable[[Session], object]:
    return lambda session: session.change(layout=layout)


SHORTCUTS: dict[str, Shortcut] = {
    "N": Shortcut("new seed", lambda s: s.new_seed()),
    "L": Shortcut("lock or unlock the seed", lambda s: s.change(locked=not s.state.locked)),
    **{
        str(n): Shortcut(f"{n} step{'' if n == 1 else 's'}", _set_steps(n))
        for n in range(1, MAX_STEPS + 1)
    },
    "G": Shortcut("one shape", _arrange("single")),
    "V": Shortcut("nine variations", _arrange("variations")),
    "C": Shortcut("compare steps", _arrange("compare")),
    "M": Shortcut("mesh", _toggle("mesh")),
    "I": Shortcut("wireframe", _toggle("wireframe")),
    "P": Shortcut("point cloud", _toggle("points")),
    "K": Shortcut("latent vectors", _toggle("latent")),
    "X": Shortcut("slice of the distance", _toggle("slice")),
    "O": Shortcut("turntable", lambda s: s.turn(not s.is_turning)),
    "B": Shortcut("play between two seeds", lambda s: s.play(not s.is_playing)),
    "U": Shortcut("undo", lambda s: s.undo()),
    "R": Shortcut("redo", lambda s: s.redo()),
}
HELP_KEY = "H"


def help_lines() -> list[str]:
    """'N  new seed' and on, the digits in one line."""
    lines = [f"{key}  {s.label}" for key, s in SHORTCUTS.items() if not key.isdigit()]
    return [*lines[:2], f"1 to {MAX_STEPS}  steps", *lines[2:], f"{HELP_KEY}  this help"]
