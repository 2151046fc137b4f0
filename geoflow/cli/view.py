"""`geoflow view`."""

from __future__ import annotations

from pathlib import Path

import trimesh

from geoflow.cli.checks import check_at_least, check_folder, check_resolution, resolve_device
from geoflow.cli.errors import UsageError, failing
from geoflow.cli.options import View
from geoflow.geometry.mesh import normalise_mesh

_FALLBACK = Path("geoflow-view.png")


def view(options: View) -> None:
    """Show in a window; without a display say so and write a picture."""
    check_at_least("steps", options.steps, 1)
    check_resolution(options.resolution)
    if options.png is not None:
        check_folder("png", options.png)
        if options.png.suffix.lower() != ".png":
            raise UsageError(f"--png must end in .png, got {options.png.name!r}")
    with failing():
        mesh = _mesh(options)
        from geoflow_viewer.picture import write_picture
        from geoflow_viewer.window import DisplayUnavailableError, show

        if options.png is None:
            try:
                show(mesh, title="geoflow")
                return
            except DisplayUnavailableError as error:
                print(error)
        path = options.png or _FALLBACK
        write_picture(mesh, path)
        print(f"{path}: picture written")


def _mesh(options: View) -> trimesh.Trimesh:
    if options.mesh is None:
        from geoflow.generator import Generator

        generator = Generator.from_pretrained(options.model, device=resolve_device(options.device))
        return generator.sample(
            steps=options.steps, seed=options.seed, resolution=options.resolution
        )[0]
    if not options.mesh.is_file():
        raise UsageError(f"there is no mesh file {options.mesh}")
    try:
        return normalise_mesh(trimesh.load_mesh(options.mesh))
    except Exception as error:  # Readers of many formats fail in as many ways.
        raise UsageError(f"{options.mesh} cannot be read as a mesh: {error}") from error
