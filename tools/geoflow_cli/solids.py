"""What `complete`, `vary` and `interpolate` check and do alike."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow_cli.checks import (
    check_at_least,
    check_faces,
    check_join,
    check_most,
    check_resolution,
    resolve_device,
)
from geoflow_cli.edit_options import EditOptions
from geoflow_cli.errors import UsageError, failing
from geoflow_cli.importing import uncollected
from geoflow_cli.kinds.fields import describe_counts

if TYPE_CHECKING:
    import trimesh

    from geoflow.models.base import ModelFile
    from geoflow.models.meshes import FieldGenerator


def check_edit(options: EditOptions, *, draws: str | None) -> ModelFile:
    """What the model is, after what can be refused before anything slow.

    Args:
        options: of the command.
        draws: what needs the model's flow, in words; None if nothing does.

    Raises:
        UsageError: for an option out of range, a model that makes no solids, or a category that it
            does not have.
        Failure: if there is no such model.
    """
    check_at_least("steps", options.steps, 1)
    check_most(options)
    check_resolution(options.resolution)
    check_faces(options.faces, mirror=options.mirror)
    check_join(options.join)
    if options.mirror and options.resolution % 2:
        raise UsageError(f"--mirror needs an even --resolution, got {options.resolution}")
    with uncollected():
        from geoflow.models.base import describe
        from geoflow.models.kinds import describe_solids
    with failing():
        describe_solids(options.model)
        file = describe(options.model)
    if draws is not None and not file.has_samples:
        raise UsageError(
            f"{options.model} encodes and decodes alone: {draws} needs the flow of a model that "
            "makes samples, as --model chair"
        )
    names = file.choices
    if options.category is not None and options.category not in names:
        raise UsageError(f"--category must be one of {', '.join(names)}, got {options.category!r}")
    return file


def check_share(name: str, value: float) -> None:
    """Raise UsageError for a number out of [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"--{name} must be in [0, 1], got {value}")


def read(path: Path, up: str) -> trimesh.Trimesh:
    """A mesh, +Y up.

    Raises:
        UsageError: if there is none, or none can be read.
    """
    from geoflow.geometry.read_mesh import read_mesh

    if not path.is_file():
        raise UsageError(f"there is no mesh file {path}")
    try:
        return read_mesh(path, up=up)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def load(options: EditOptions) -> FieldGenerator:
    """The model, on its device."""
    from geoflow.models.completion import load_solids

    return load_solids(options.model, device=resolve_device(options.device))


def describe_mesh(mesh: trimesh.Trimesh) -> str:
    """What is said of a mesh that was written, in its own units."""
    from geoflow.geometry.mesh import summarise

    return describe_counts(asdict(summarise(mesh)))
