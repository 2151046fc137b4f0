"""Options of training on meshes of a folder, which have an inside."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geoflow_cli.checks import check_at_least
from geoflow_cli.errors import UsageError
from geoflow_cli.kinds import shapes
from geoflow_cli.kinds.shapes import ShapeTrain

if TYPE_CHECKING:
    from geoflow.training.run import DataConfig
    from geoflow_datasets.sources import Gives


@dataclass(frozen=True)
class MeshTrain(ShapeTrain):
    """Options of training on shapes with an inside."""

    thickness: float | None = None
    """Least thickness of parts of a folder's meshes, where the longest half extent is 1; thinner
    ones are thickened. Default: 0.018; for prints, 2 x wall / largest size."""
    keep_cavities: bool = False
    """Keep closed hollows of a folder's meshes, which are filled otherwise."""
    augment: int = 0
    """Deformed copies of each training mesh of a folder: stretched, bent, mirrored."""


def check(options: MeshTrain, given: Collection[str], *, gives: Gives) -> None:
    """Refuse what is wrong before anything slow.

    Raises:
        ValueError: for a source, objective or setting that does not fit.
    """
    check_at_least("augment", options.augment, 0)
    if options.thickness is not None and not 0.0 <= options.thickness <= 0.5:
        raise UsageError(f"--thickness must be in [0, 0.5], got {options.thickness}")
    shapes.check(options, given, gives=gives)


def data_of(options: MeshTrain) -> DataConfig:
    """Where the shapes come from, and how their meshes are signed."""
    return replace(
        shapes.data_of(options),
        thickness=options.thickness,
        keep_cavities=options.keep_cavities,
        augment=options.augment,
    )
