"""`geoflow view`: a file, a window, or a page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoflow_cli.checks import check_at_least, check_folder, check_resolution, resolve_device
from geoflow_cli.errors import Failure, UsageError, failing
from geoflow_cli.options import View

if TYPE_CHECKING:
    from geoflow_viewer.export import Look
    from geoflow_viewer.models import Models
    from geoflow_viewer.opened import Opened
    from geoflow_viewer.session import Session
    from geoflow_viewer.state import State

_FALLBACK = Path("geoflow-view.png")
_LOCAL = ("127.0.0.1", "localhost", "::1")
_MAX_PORT = 65535
_MAX_POINTS = 65_536
_LEAST_SIZE, _MOST_SIZE = 64, 2048


def view(options: View, given: Collection[str]) -> None:
    """Write a file, serve a page, or open a window; without a display, write a picture."""
    for name in ("host", "port"):
        if name in given and not options.web:
            raise UsageError(f"--{name} is of a page: add --web, or leave it out")
    check_at_least("steps", options.steps, 1)
    check_resolution(options.resolution)
    if not 1 <= options.points <= _MAX_POINTS:
        raise UsageError(f"--points must be between 1 and {_MAX_POINTS}, got {options.points}")
    out = _output(options)
    _look(options, out)
    if options.mesh is not None and not options.mesh.is_file():
        raise UsageError(f"there is no mesh file or cloud {options.mesh}")
    state = _state(options, given, out)
    if options.reconstruct and options.mesh is None:
        raise UsageError("--reconstruct needs a mesh file")
    opened = state.mesh or state.cloud
    meshes: dict[str, Opened] = {}
    if options.mesh is not None and opened is not None:
        meshes = {opened: _read(options.mesh, options.up)}
    from geoflow.models.kinds import load
    from geoflow_viewer.models import Models

    device = resolve_device(options.device)
    name = _told(options)(options.model)
    places = {name: options.model}
    models = Models([name], load=lambda name: load(places.get(name, name), device=device))
    with failing():
        if state.mesh is None or options.reconstruct:
            _check_category(options, models[state.model].categories)
        if options.web:
            _serve(options, state, models, meshes)
        elif out is not None:
            _write(options, state, models, meshes, out)
        else:
            _open(options, state, models, meshes)


def _told(options: View) -> Callable[[str | Path], str]:
    """What a path is called before those who look: visitors are told no places of this disk."""
    from geoflow_viewer.privacy import shown_name

    return shown_name if options.web else str


def _state(options: View, given: Collection[str], out: Path | None) -> State:
    """What is shown first.

    Raises:
        UsageError: for a value that no state has, or an option that clouds do not have.
    """
    from geoflow.geometry.read_points import is_cloud
    from geoflow_viewer.state import State

    told = _told(options)
    values: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("category", "seed", "steps", "ode", "time", "to_seed", "blend", "reconstruct",
                     "layout", "show", "slice", "up")
    }  # fmt: skip
    values |= {"model": told(options.model)}
    if options.mesh is not None:
        values |= {"mesh": told(options.mesh)}
        if is_cloud(options.mesh):
            values |= {"mesh": None, "cloud": told(options.mesh)} | _of_cloud(options, given, out)
    try:
        return State(**values)
    except ValueError as error:
        raise UsageError(f"--{error}") from error


def _of_cloud(options: View, given: Collection[str], out: Path | None) -> dict[str, Any]:
    """What differs where a cloud is shown: model, points, and what is drawn."""
    from geoflow.models.kinds import COMPLETING, describe_solids
    from geoflow_viewer.command import draws
    from geoflow_viewer.state import CLOUD_SHOWS, FEWEST_POINTS, MOST_POINTS

    for name in ("ode", "time", "to_seed", "blend", "reconstruct", "slice"):
        if name in given:
            raise UsageError(f"--{name.replace('_', '-')} is not of clouds: leave it out")
    if out is not None and not draws(str(out)):
        raise UsageError(
            f"the solid is written where the points are by geoflow complete {options.mesh} "
            f"--out {out}; geoflow view draws it: .png, .gif, .mp4 or .html"
        )
    values: dict[str, Any] = {}
    if "points" in given:
        if not FEWEST_POINTS <= options.points <= MOST_POINTS:
            raise UsageError(
                f"--points of a cloud file must be between {FEWEST_POINTS} and {MOST_POINTS:,}, "
                f"got {options.points:,}"
            )
        values["given"] = options.points
    if "model" in given:
        with failing():
            describe_solids(options.model)
    else:
        values["model"] = COMPLETING
    if "show" not in given:
        values["show"] = CLOUD_SHOWS
    return values


def _output(options: View) -> Path | None:
    from geoflow_viewer.command import PICTURE_SUFFIXES
    from geoflow_viewer.shape_files import SHAPE_SUFFIXES

    if options.png is not None and options.out is not None:
        raise UsageError("--png and --out name one file: give one of them")
    out = options.png or options.out
    if options.web and out is not None:
        raise UsageError("--web writes no file: give --web, or --png or --out")
    if not 0 < options.port <= _MAX_PORT:
        raise UsageError(f"--port must be between 1 and {_MAX_PORT}, got {options.port}")
    if options.png is not None and options.png.suffix.lower() != ".png":
        raise UsageError(f"--png must end in .png, got {options.png.name!r}")
    known = (*PICTURE_SUFFIXES, *SHAPE_SUFFIXES)
    if out is not None and out.suffix.lower() not in known:
        raise UsageError(f"--out must end in one of {', '.join(known)}, got {out.name!r}")
    if out is not None:
        check_folder("out" if options.png is None else "png", out)
    return out


def _look(options: View, out: Path | None) -> Look:
    """Size and colours of the picture.

    Raises:
        UsageError: for what is no size or colour, or is not of such a file.
    """
    from geoflow_viewer.command import PICTURE_SUFFIXES
    from geoflow_viewer.export import Look

    suffix = None if out is None else out.suffix.lower()
    fitting = {"size-px": (".png", ".gif", ".mp4"), "background": (".png", ".gif", ".mp4"),
               "color": PICTURE_SUFFIXES}  # fmt: skip
    for name, suffixes in fitting.items():
        if getattr(options, name.replace("-", "_")) is not None and suffix not in suffixes:
            raise UsageError(
                f"--{name} is of files that end in {', '.join(suffixes)}: give one by --out"
            )
    size = options.size_px
    if size is not None and not _LEAST_SIZE <= size <= _MOST_SIZE:
        raise UsageError(f"--size-px must be between {_LEAST_SIZE} and {_MOST_SIZE}, got {size}")
    background = _colour("background", options.background)
    look = Look(size, _colour("color", options.color))
    return look if background is None else replace(look, background=background)


def _colour(name: str, text: str | None) -> tuple[int, int, int] | None:
    from PIL import ImageColor

    if text is None:
        return None
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise UsageError(f"--{name} must be a name as teal, or #rrggbb, got {text!r}") from error
    return red, green, blue


def _read(path: Path, up: str) -> Opened:
    from geoflow.geometry.mesh import normalise_mesh
    from geoflow.geometry.read_mesh import read_mesh
    from geoflow.geometry.read_points import is_cloud, read_points
    from geoflow_viewer.opened import placed_cloud

    try:
        if is_cloud(path):
            return placed_cloud(read_points(path), up=up)
        return normalise_mesh(read_mesh(path, up=up))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _check_category(options: View, names: tuple[str, ...]) -> None:
    if options.category is not None and options.category not in names:
        raise UsageError(f"--category must be one of {', '.join(names) or 'none'}")


@contextmanager
def _session(
    state: State, models: Models, meshes: dict[str, Opened], **options: object
) -> Iterator[Session]:
    from geoflow_viewer.session import Session

    session = Session(models, state, meshes=meshes, **options)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        session.close()


def _write(
    options: View, state: State, models: Models, meshes: dict[str, Opened], out: Path
) -> None:
    from geoflow_viewer.export import export
    from geoflow_viewer.generation import generate
    from geoflow_viewer.items import Rung
    from geoflow_viewer.renderers import renderer_of
    from geoflow_viewer.worker import Ticket

    rung = Rung(options.resolution, options.points)
    (result,) = generate(state, models, meshes, Ticket(), rungs=(rung,))
    try:
        renderer = renderer_of(
            options.renderer, lambda said: print(f"geoflow: {said}", file=sys.stderr)
        )
        export(result, state, out, renderer=renderer, look=_look(options, out))
    except RuntimeError as error:
        raise Failure(str(error)) from error
    print(f"{out}: {'picture' if out.suffix.lower() == '.png' else 'file'} written")


def _open(options: View, state: State, models: Models, meshes: dict[str, Opened]) -> None:
    from geoflow_viewer.desktop import show
    from geoflow_viewer.display import DisplayUnavailableError, check_display

    try:
        check_display()
        with _session(state, models, meshes) as session:
            show(session)
    except DisplayUnavailableError as error:
        print(error)
        _write(options, state, models, meshes, _FALLBACK)


def _serve(options: View, state: State, models: Models, meshes: dict[str, Opened]) -> None:
    from geoflow_viewer.browser import BrowserUnavailableError, serve

    if options.host not in _LOCAL:
        print(
            f"geoflow: warning: --host {options.host} lets everybody in who reaches this machine "
            "and has the address below, which is not encrypted on its way",
            file=sys.stderr,
        )
    try:
        serve(models, state, meshes, host=options.host, port=options.port)
    except BrowserUnavailableError as error:
        raise Failure(str(error)) from error
