"""The kinds of model, a row each. Whoever needs to know what a model is asks here.

A kind has one room on each floor: a module of the same name in `geoflow.models`, in the command
line (`geoflow_cli.kinds`), in what trainings report (`geoflow_tools.validation`) and, where the
viewer shows it, in `geoflow_viewer.kinds`. The table holds names: reading it loads no torch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from geoflow.models.base import Model


@dataclass(frozen=True)
class Kind:
    """What a model can be."""

    name: str
    """Its key in KINDS, on the command line and in files."""
    room: str
    """Name of its module on every floor."""
    model: str
    """Class of the model, in its room of `geoflow.models`."""
    stages: tuple[tuple[str, str], ...]
    """What a run trains, in this order: module in `geoflow.training.stages`, and class there."""
    makes: str
    """What a model makes, in words."""
    suffix: str
    """Of the file that it is written to where nobody chose one."""
    detail: Literal["resolution", "points"] = "points"
    """What says how fine it is: cells of the grid along an edge, or points."""
    has_samples: bool = True
    """Whether `geoflow sample` and the viewer make something of noise with it."""
    has_shapes: bool = True
    """Whether its samples are different shapes, which can be compared with those of a set."""
    has_solids: bool = False
    """Whether it makes solids of points and of meshes: `geoflow complete | vary | interpolate`."""

    has_graphs: bool = False
    """Whether it is written as ONNX: `geoflow export`."""

    def model_class(self) -> type[Model]:
        """The class of the model."""
        found: type[Model] = getattr(self.on("geoflow.models"), self.model)
        return found

    def stage_classes(self) -> tuple[Any, ...]:
        """The subclasses of `geoflow.training.stage.Stage` of a run, in their order."""
        floor = "geoflow.training.stages"
        return tuple(
            getattr(importlib.import_module(f"{floor}.{module}"), name)
            for module, name in self.stages
        )

    def on(self, floor: str) -> ModuleType:
        """The room of this kind in a package, such as "geoflow_cli.kinds"."""
        return importlib.import_module(f"{floor}.{self.room}")


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "sdf",
            "fields",
            "Generator",
            (
                ("field_autoencoder", "FieldAutoencoderStage"),
                ("latent_flow", "LatentFlowStage"),
                ("field_scans", "FieldScanStage"),
            ),
            "meshes",
            ".obj",
            "resolution",
            has_solids=True,
            has_graphs=True,
        ),
        Kind(
            "shapes",
            "volumes",
            "VolumeGenerator",
            (
                ("volume_autoencoder", "VolumeAutoencoderStage"),
                ("volume_flow", "VolumeFlowStage"),
                ("volume_decoder", "VolumeDecoderStage"),
                ("volume_residual", "VolumeResidualStage"),
            ),
            "meshes of many kinds",
            ".obj",
            "resolution",
            has_solids=True,
            has_graphs=True,
        ),
        Kind(
            "points",
            "clouds",
            "PointGenerator",
            (("point_autoencoder", "PointAutoencoderStage"), ("latent_flow", "LatentFlowStage")),
            "clouds of points",
            ".ply",
        ),
        Kind(
            "distribution",
            "distribution",
            "GeometryDistribution",
            (("distribution", "DistributionStage"), ("jumps", "JumpStage")),
            "points of one surface",
            ".ply",
            has_shapes=False,
        ),
        Kind(
            "joints",
            "joints",
            "Rigger",
            (("joints", "JointStage"),),
            "joints of a mesh",
            ".json",
            has_samples=False,
            has_shapes=False,
        ),
    )
}

DEFAULT = "sdf"
"""The kind where nobody chose one."""
COMPLETING = "shapes"
"""The shipped model that makes solids of points where nobody chose one."""


def kind_of(name: str) -> Kind:
    """The kind of a name.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {name!r}")
    return KINDS[name]


def describe_kind(name_or_folder: str | Path) -> Kind:
    """The kind of a shipped model, or of that of a folder; reads no weights.

    Raises:
        CheckpointError: if there is no such model, its file is damaged, or its kind is unknown.
    """
    from geoflow.models.base import describe
    from geoflow.models.checkpoint import CheckpointError

    found = describe(name_or_folder)
    if found.kind not in KINDS:
        raise CheckpointError(
            f"{found.path} is of kind {found.kind!r}, expected one of {', '.join(KINDS)}"
        )
    return KINDS[found.kind]


def describe_solids(name_or_folder: str | Path) -> Kind:
    """The kind of a model that makes solids of points and of meshes; reads no weights.

    Raises:
        CheckpointError: as `describe_kind`.
        ValueError: for a model of another kind.
    """
    kind = describe_kind(name_or_folder)
    if not kind.has_solids:
        able = ", ".join(name for name, other in KINDS.items() if other.has_solids)
        raise ValueError(
            f"{name_or_folder} is a model of {kind.makes} ({kind.name}), which makes no solids of "
            f"points or meshes: take one of kind {able}"
        )
    return kind


def load(name_or_folder: str | Path, *, device: str = "cpu") -> Model:
    """A shipped model by name, or that of a folder, of whatever kind it is.

    Raises:
        CheckpointError: if there is no such model, or its file is damaged.
    """
    return (
        describe_kind(name_or_folder).model_class().from_pretrained(name_or_folder, device=device)
    )
