"""`geoflow rig`."""

from __future__ import annotations

import time
from pathlib import Path

from geoflow import __version__
from geoflow_cli.checks import check_at_least, check_folder, resolve_device
from geoflow_cli.errors import UsageError, failing
from geoflow_cli.options import Rig

_PARENTS = "minimum spanning tree of the joints' distances; not learned"


def rig(options: Rig) -> None:
    """Check, load, find the joints, write, and print one line."""
    check_at_least("steps", options.steps, 1)
    if not options.mesh.is_file():
        raise UsageError(f"there is no mesh file {options.mesh}")
    _check_suffix("out", options.out, ".json")
    if options.png is not None:
        _check_suffix("png", options.png, ".png")
    import trimesh

    from geoflow.atomic import write_json
    from geoflow.geometry.axes import turn_up
    from geoflow.geometry.read_mesh import read_mesh
    from geoflow.models.joints import Rigger
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
            mesh = read_mesh(options.mesh, up=options.up)
        except ValueError as error:
            raise UsageError(f"{options.mesh}: {error}") from error
        model = Rigger.from_pretrained(options.model, device=device)
        start = time.perf_counter()
        found = model.rig(mesh, steps=options.steps, seed=options.seed)
        seconds = time.perf_counter() - start
        report = {
            "mesh": options.mesh.name,
            # In the file's own coordinates.
            "joints": turn_up(trimesh.PointCloud(found.joints), options.up).vertices.tolist(),
            "parents": found.parents,
            "parents_are": _PARENTS,
            "network_evaluations": found.nfe,
            "model": options.model,
            "seed": options.seed,
            "geoflow": __version__,
        }
        write_json(options.out, report)
        print(
            f"{options.out}: {len(found.joints)} joints, {seconds:.2f} s, "
            f"{found.nfe} network evaluations"
        )
        if options.png is not None:
            from geoflow_viewer.skeleton_picture import write_rig_picture

            write_rig_picture(mesh, found.joints, found.parents, options.png)
            print(f"{options.png}: picture written")


def _check_suffix(name: str, path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise UsageError(f"--{name} must end in {suffix}, got {path.name!r}")
    check_folder(name, path)
