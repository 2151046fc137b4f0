"""The command that makes again what is on the screen."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from geoflow.geometry.mesh import OUT_SUFFIXES
from geoflow.geometry.points import SUFFIXES as POINT_SUFFIXES
from geoflow.models.kinds import DEFAULT, KINDS, Kind
from geoflow_viewer.items import Rung
from geoflow_viewer.state import SHOWS, State, visible

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


def command(
    state: State,
    *,
    rung: Rung,
    out: str | None = None,
    kind: Kind = KINDS[DEFAULT],
    shows: tuple[str, ...] = SHOWS,
) -> str:
    """A line for a shell that shows a state, or writes it to a file by suffix.

    A plain sample that goes to a file of a mesh or of points is made by `geoflow sample`, the solid
    of a cloud by `geoflow complete`, everything else by `geoflow view`.

    Args:
        state: what is on the screen.
        rung: how fine it is.
        out: file to write; None: a window.
        kind: of the model.
        shows: what can be drawn of the shapes.
    """
    if state.cloud is not None:
        return _completion(state, rung, out)
    default = State()
    is_shape = out is not None and not draws(out)
    wanted = visible(state.show, shows)
    # A file of a shape has all of it, whatever is drawn of it.
    if is_shape or wanted == visible(default.show, shows):
        wanted = default.show
    shown = replace(state, show=wanted)
    if "slice" not in shown.show:
        shown = replace(shown, slice=default.slice)
    is_sample = out is not None and is_shape and _is_plain_sample(shown, kind, out)
    words = ["geoflow", "sample" if is_sample else "view"]
    if shown.mesh is not None:
        words.append(shown.mesh)
    for name, flag in _FLAGS.items():
        value = getattr(shown, name)
        if value != getattr(default, name):
            words += [flag, _text(value)]
    if shown.mesh is not None and shown.up != default.up:
        words += ["--up", shown.up]
    for flag, is_on in (
        ("--ode", shown.ode),
        ("--reconstruct", shown.reconstruct and shown.mesh is not None),
    ):
        words += [flag] * is_on
    if shown.show != default.show:
        words += ["--show", *shown.show]
    if shown.mesh is None or shown.reconstruct:
        words += [f"--{kind.detail}", str(getattr(rung, kind.detail))]
    if out is not None:
        words += ["--out", out]
    return shlex.join(words)


def _completion(state: State, rung: Rung, out: str | None) -> str:
    """The line that makes a cloud's solid; that of a further answer is its last file."""
    file = out if out is not None and Path(out).suffix.lower() in OUT_SUFFIXES else "geoflow.obj"
    words = ["geoflow", "complete", str(state.cloud), "--model", state.model]
    words += ["--points", str(state.given)]
    if state.answer:
        words += ["--num", str(state.answer + 1), "--steps", str(state.steps)]
        if state.category is not None:
            words += ["--category", state.category]
    if state.seed:
        words += ["--seed", str(state.seed)]
    words += ["--mirror"] * state.mirrored
    if state.up != State.up:
        words += ["--up", state.up]
    return shlex.join(
        [*words, "--resolution", str(rung.resolution), "--faces", "full", "--out", file]
    )


def draws(out: str) -> bool:
    """Whether a file's suffix is that of a picture, a film or a page, not of a mesh."""
    return Path(out).suffix.lower() in PICTURE_SUFFIXES


def _text(value: object) -> str:
    # repr gives the shortest digits that read back as the same number.
    return repr(value) if isinstance(value, float) else str(value)


def _is_plain_sample(state: State, kind: Kind, out: str) -> bool:
    """Whether `geoflow sample` knows the suffix, and every option that differs from its default."""
    if not kind.has_shapes and Path(out).suffix.lower() not in POINT_SUFFIXES:
        return False
    known = ("model", "category", "seed", "steps", "locked")
    same = {name: getattr(state, name) for name in known}
    return state == replace(State(), **same)
