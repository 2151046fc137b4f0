"""Checks of arguments that several commands share, made before anything slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from geoflow.geometry.extraction import MAX_RESOLUTION, MIN_RESOLUTION
from geoflow.geometry.mesh import check_suffix
from geoflow_cli.errors import UsageError


def check_at_least(name: str, value: int, lowest: int) -> None:
    """Raise UsageError for a number that is too small."""
    if value < lowest:
        raise UsageError(f"--{name} must be at least {lowest}, got {value}")


def check_resolution(value: int) -> None:
    """Raise UsageError for a grid that is too coarse or too fine."""
    if not MIN_RESOLUTION <= value <= MAX_RESOLUTION:
        raise UsageError(
            f"--resolution must be between {MIN_RESOLUTION} and {MAX_RESOLUTION}, got {value}"
        )


def check_output(name: str, path: Path) -> None:
    """Raise UsageError for a mesh file that cannot be written."""
    try:
        check_suffix(path)
    except ValueError as error:
        raise UsageError(f"--{name}: {error}") from error
    check_folder(name, path)


def check_folder(name: str, path: Path) -> None:
    """Raise UsageError if the folder of a file does not exist."""
    if not path.parent.is_dir():
        raise UsageError(f"--{name}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UsageError(f"--{name} must be a file, got the folder {path}")


def resolve_device(name: str) -> str:
    """The device to use; 'auto' is the first accelerator found, else the CPU.

    Raises:
        UsageError: if the named device is not there.
    """
    import torch

    found = {"cpu": True, "cuda": torch.cuda.is_available()}
    found["mps"] = torch.backends.mps.is_available()
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if found[device])
    if not found[name]:
        here = ", ".join(device for device, is_there in found.items() if is_there)
        raise UsageError(f"--device {name} is not available here; available: {here}")
    return name


def refuse_options(options: Any, names: Sequence[str], *, because: str) -> None:
    """Raise UsageError for an option that was given although it has no meaning here."""
    defaults = {f.name: f.default for f in fields(options)}
    for name in names:
        if getattr(options, name) != defaults[name]:
            raise UsageError(f"--{name.replace('_', '-')} does not go with {because}")
