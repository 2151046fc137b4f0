"""Checks of arguments that several commands share, made before anything slow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoflow_cli.errors import UsageError
from geoflow_cli.options import Faces

if TYPE_CHECKING:
    from geoflow_datasets.sources import Gives

MOST = {
    "seed": 2**63 - 1,
    "to_seed": 2**63 - 1,
    "num": 1_000_000,
    "points": 10_000_000_000,
    "steps": 10_000,
    "recycle": 100,
    "refine": 10_000,
    "frames": 100_000,
    "num_shapes": 10_000_000,
}
"""Largest value of an option that any command takes, by its name; of training, more steps."""
MOST_JOINED = 0.1
"""Largest level at which parts are joined: farther from surfaces fields are not trained."""
MOST_STEPS_OF_TRAINING = 1_000_000_000
OF_DATA = {
    "num_shapes": "num",
    "data_up": "up",
    "thickness": "thickness",
    "keep_cavities": "keep_cavities",
    "augment": "augment",
}
"""Options of training that are about the data, and what they are in a `Request`."""


def check_most(options: Any, *, is_training: bool = False) -> None:
    """Raise UsageError for seeds that are none, and for numbers beyond all reason."""
    limits = MOST | ({"steps": MOST_STEPS_OF_TRAINING} if is_training else {})
    for name, most in limits.items():
        value = getattr(options, name, None)
        flag = name.replace("_", "-")
        if value is not None and name in ("seed", "to_seed") and value < 0:
            raise UsageError(f"--{flag} must be from 0 to {most}, got {value}")
        if value is not None and value > most:
            raise UsageError(f"--{flag} must be at most {most:,}, got {value:,}")


def refuse_unread(sources: Sequence[str], given: Collection[str], *, gives: Gives) -> None:
    """Raise UsageError for an option about data that none of the sources reads.

    Raises:
        ValueError: for what is no source.
    """
    from geoflow_datasets.sources import find_source

    read = {name for source in sources for name in find_source(source, gives=gives).reads}
    for option, name in OF_DATA.items():
        if option in given and name not in read:
            flag = option.replace("_", "-")
            raise UsageError(f"--{flag} does not go with --data {'+'.join(sources)}: leave it out")


def check_at_least(name: str, value: int, lowest: int) -> None:
    """Raise UsageError for a number that is too small."""
    if value < lowest:
        raise UsageError(f"--{name} must be at least {lowest}, got {value}")


def check_resolution(value: int) -> None:
    """Raise UsageError for a grid that is too coarse or too fine."""
    from geoflow.geometry.extraction import MAX_RESOLUTION, MIN_RESOLUTION

    if not MIN_RESOLUTION <= value <= MAX_RESOLUTION:
        raise UsageError(
            f"--resolution must be between {MIN_RESOLUTION} and {MAX_RESOLUTION}, got {value}"
        )


def check_faces(faces: Faces, *, mirror: bool = False) -> None:
    """Raise UsageError for too few triangles, or any of a mesh that is to be symmetric."""
    from geoflow.geometry.mesh import MIN_FACES

    if isinstance(faces, int):
        check_at_least("faces", faces, MIN_FACES)
        if mirror:
            raise UsageError(
                f"--faces {faces} would not leave the mesh symmetric: leave out --faces or --mirror"
            )


def check_join(join: float | None) -> None:
    """Raise UsageError for a level at which no parts of a solid are one."""
    if join is not None and not 0.0 <= join <= MOST_JOINED:
        raise UsageError(f"--join must be in [0, {MOST_JOINED}], got {join}")


def triangles(faces: Faces, *, mirror: bool = False) -> dict[str, Any]:
    """--faces as `FieldGenerator.decode` takes it; a mirrored mesh keeps all by default."""
    from geoflow.geometry.simplification import WITHIN

    if isinstance(faces, int):
        return {"faces": faces}
    return {"within": WITHIN} if faces is None and not mirror else {}


def check_size(name: str, text: str) -> None:
    """Raise UsageError for what is no length."""
    from geoflow.geometry.mesh import parse_size

    try:
        parse_size(text)
    except ValueError as error:
        raise UsageError(f"--{name}: {error}") from error


def check_output(name: str, path: Path) -> None:
    """Raise UsageError for a mesh file that cannot be written."""
    from geoflow.geometry.mesh import check_suffix

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
