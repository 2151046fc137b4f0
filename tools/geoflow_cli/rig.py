"""`geoflow rig`."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow import __version__
from geoflow_cli.checks import check_at_least, check_folder, resolve_device
from geoflow_cli.errors import UsageError, failing
from geoflow_cli.options import Rig

if TYPE_CHECKING:
    import trimesh

    from geoflow.models.joints import Rig as Found

_PARENTS = "minimum spanning tree of the joints' distances; not learned"


def rig(options: Rig, given: Collection[str]) -> None:
    """Check, load, find the joints, write, and print one line."""
    if options.mesh is None and "up" in given:
        raise UsageError("--up is of a mesh file, and the shipped figure stands: give --mesh")
    check_at_least("steps", options.steps, 1)
    if options.mesh is not None and not options.mesh.is_file():
        raise UsageError(f"there is no mesh file {options.mesh}")
    _check_suffix("out", options.out, ".json", ".glb")
    if options.png is not None:
        _check_suffix("png", options.png, ".png")
    path, up = (options.mesh, options.up) if options.mesh is not None else (shipped_figure(), "y")
    from geoflow.geometry.read_mesh import read_mesh
    from geoflow.models.joints import NO_FIGURE, Rigger
    from geoflow.models.kinds import describe_kind

    with failing():
        kind = describe_kind(options.model)
        if kind.has_samples:
            raise UsageError(
                f"--model must find joints, {options.model} is a model of {kind.name}: "
                f"geoflow sample --model {options.model}"
            )
        device = resolve_device(options.device)
        try:
            mesh = read_mesh(path, up=up)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from error
        model = Rigger.from_pretrained(options.model, device=device)
        start = time.perf_counter()
        found = model.rig(mesh, steps=options.steps, seed=options.seed)
        seconds = time.perf_counter() - start
        apart = model.disagreement(mesh, steps=options.steps, seed=options.seed)
        for file in _write(options, mesh, found, path.name, up):
            print(
                f"{file}: {len(found.joints)} joints, {seconds:.2f} s, "
                f"{found.nfe} network evaluations"
            )
        if apart > NO_FIGURE:
            print(
                f"geoflow: warning: {path.name} may be no figure: other seeds put the joints "
                f"elsewhere (apart by {apart:.2f}, for figures below {NO_FIGURE}); "
                f"{options.model} knows bodies with limbs, as bipeds, quadrupeds and hands",
                file=sys.stderr,
            )
        if options.png is not None:
            from geoflow_viewer.skeleton_picture import write_rig_picture

            write_rig_picture(mesh, found.joints, found.parents, options.png)
            print(f"{options.png}: picture written")


def shipped_figure() -> Path:
    """The mesh file of a figure that comes with the package."""
    return Path(str(resources.files("geoflow") / "shipped" / "rig" / "figure.ply"))


def _write(options: Rig, mesh: trimesh.Trimesh, found: Found, name: str, up: str) -> list[Path]:
    """Write the joints, and the mesh that they move where it is asked for; the files."""
    import trimesh

    from geoflow.atomic import write_bytes, write_json
    from geoflow.geometry.axes import turn_up
    from geoflow.geometry.skin import skinned_glb

    report = {
        "mesh": name,
        # In the file's own coordinates.
        "joints": turn_up(trimesh.PointCloud(found.joints), up).vertices.tolist(),
        "parents": found.parents,
        "parents_are": _PARENTS,
        "network_evaluations": found.nfe,
        "model": options.model,
        "seed": options.seed,
        "geoflow": __version__,
    }
    if options.out.suffix.lower() == ".json":
        write_json(options.out, report)
        return [options.out]
    write_bytes(options.out, skinned_glb(mesh, found.joints, found.parents))
    beside = options.out.with_suffix(".json")
    write_json(beside, report)
    return [options.out, beside]


def _check_suffix(name: str, path: Path, *suffixes: str) -> None:
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--{name} must end in {' or '.join(suffixes)}, got {path.name!r}")
    check_folder(name, path)
