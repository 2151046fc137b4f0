"""The command that makes again what is on the screen."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from geoflow_viewer.state import State

PICTURE_SUFFIXES = (".png", ".gif", ".mp4", ".html")
_FLAGS = {
    "model": "--model",
    "category": "--category",
    "seed": "--seed",
    "steps": "--steps",
    "time": "--time",
    "to_seed": "--to-seed",
    "blend": "--blend",
    "layout": "--layout",
    "slice": "--slice",
}


def command(state: State, *, resolution: int, out: str | None = None) -> str:
    """A line for a shell that shows a state, or writes it to a file by suffix.

    A plain sample that goes to a file of a mesh is made by `geoflow sample`, everything else by
    `geoflow view`.

    Args:
        state: what is on the screen.
        resolution: cells of the extraction grid along an edge.
        out: file to write; None: a window.
    """
    default = State()
    is_mesh = out is not None and not draws(out)
    # A file of a mesh has the shapes, whatever is drawn of them.
    shown = replace(state, show=default.show) if is_mesh else state
    if "slice" not in shown.show:
        shown = replace(shown, slice=default.slice)
    words = ["geoflow", "sample" if is_mesh and _is_plain_sample(shown) else "view"]
    if shown.mesh is not None:
        words.append(shown.mesh)
    for name, flag in _FLAGS.items():
        value = getattr(shown, name)
        if value != getattr(default, name):
            words += [flag, _text(value)]
    for flag, is_on in (("--ode", shown.ode), ("--reconstruct", shown.reconstruct)):
        words += [flag] * is_on
    if shown.show != default.show:
        words += ["--show", *shown.show]
    words += ["--resolution", str(resolution)]
    if out is not None:
        words += ["--out", out]
    return shlex.join(words)


def draws(out: str) -> bool:
    """Whether a file's suffix is that of a picture, a film or a page, not of a mesh."""
    return Path(out).suffix.lower() in PICTURE_SUFFIXES


def _text(value: object) -> str:
    # repr gives the shortest digits that read back as the same number.
    return repr(value) if isinstance(value, float) else str(value)


def _is_plain_sample(state: State) -> bool:
    """Whether `geoflow sample` knows every option that differs from its default."""
    known = ("model", "category", "seed", "steps", "locked")
    same = {name: getattr(state, name) for name in known}
    return state == replace(State(), **same)
