"""`geoflow view`: a file, a window, or a page."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trimesh

from geoflow_cli.checks import check_at_least, check_folder, check_resolution, resolve_device
from geoflow_cli.errors import Failure, UsageError, failing
from geoflow_cli.options import View

if TYPE_CHECKING:
    from geoflow_viewer.export import Look
    from geoflow_viewer.models import Models
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
    from geoflow_viewer.privacy import shown_name
    from geoflow_viewer.state import State

    # Visitors are told no places of this disk.
    told = shown_name if options.web else str
    try:
        state = State(
            told(options.model), options.category, options.seed, steps=options.steps,
            ode=options.ode,
            time=options.time, to_seed=options.to_seed, blend=options.blend,
            mesh=None if options.mesh is None else told(options.mesh),
            reconstruct=options.reconstruct, layout=options.layout, show=options.show,
            slice=options.slice,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    if options.reconstruct and options.mesh is None:
        raise UsageError("--reconstruct needs a mesh file")
    meshes = {} if options.mesh is None else {str(state.mesh): _read(options.mesh, options.up)}
    from geoflow.models.kinds import load
    from geoflow_viewer.models import Models

    device = resolve_device(options.device)
    places = {state.model: options.model}
    models = Models([state.model], load=lambda name: load(places.get(name, name), device=device))
    with failing():
        if meshes == {} or options.reconstruct:
            _check_category(options, models[state.model].categories)
        if options.web:
            _serve(options, state, models, meshes)
        elif out is not None:
            _write(options, state, models, meshes, out)
        else:
            _open(options, state, models, meshes)


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


def _read(path: Path, up: str) -> trimesh.Trimesh:
    from geoflow.geometry.mesh import normalise_mesh
    from geoflow.geometry.read_mesh import read_mesh
    from geoflow.geometry.read_points import is_cloud

    if not path.is_file():
        raise UsageError(f"there is no mesh file {path}")
    if is_cloud(path):
        raise UsageError(
            f"{path} holds points, and meshes are shown: make a solid of it with geoflow complete "
            f"{path} --out solid.ply, then geoflow view solid.ply"
        )
    try:
        return normalise_mesh(read_mesh(path, up=up))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _check_category(options: View, names: tuple[str, ...]) -> None:
    if options.category is not None and options.category not in names:
        raise UsageError(f"--category must be one of {', '.join(names) or 'none'}")


@contextmanager
def _session(
    state: State, models: Models, meshes: dict[str, trimesh.Trimesh], **options: object
) -> Iterator[Session]:
    from geoflow_viewer.session import Session

    session = Session(models, state, meshes=meshes, **options)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        session.close()


def _write(
    options: View, state: State, models: Models, meshes: dict[str, trimesh.Trimesh], out: Path
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


def _open(options: View, state: State, models: Models, meshes: dict[str, trimesh.Trimesh]) -> None:
    from geoflow_viewer.desktop import show
    from geoflow_viewer.display import DisplayUnavailableError, check_display

    try:
        check_display()
        with _session(state, models, meshes) as session:
            show(session)
    except DisplayUnavailableError as error:
        print(error)
        _write(options, state, models, meshes, _FALLBACK)


def _serve(options: View, state: State, models: Models, meshes: dict[str, trimesh.Trimesh]) -> None:
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
