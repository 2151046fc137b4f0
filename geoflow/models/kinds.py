"""Models of every kind, by name or folder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from geoflow.models import distribution, joints, latent
from geoflow.models.checkpoint import CheckpointError
from geoflow.models.clouds import PointGenerator
from geoflow.models.fields import Generator
from geoflow.models.latent import find_model, read_config

GENERATORS: dict[str, type[Generator] | type[PointGenerator]] = {
    "sdf": Generator,
    "points": PointGenerator,
}
"""Generators by representation."""

Kind = Literal["sdf", "points", "distribution", "joints"]
_KINDS: dict[str, Kind | None] = {
    latent.WEIGHTS: None,
    distribution.WEIGHTS: "distribution",
    joints.WEIGHTS: "joints",
}
"""Kinds by the file of weights; None: as its configuration says."""


@dataclass(frozen=True)
class ModelFile:
    """A file of weights and what it is, known without reading the weights."""

    path: Path
    kind: Kind
    """As `--representation`."""
    categories: tuple[str, ...] = ()
    """Names that a sample can be asked for; empty where there is no such choice."""


def shipped() -> dict[str, ModelFile]:
    """The models of every kind inside the package, by name."""
    folders = sorted(Path(str(resources.files("geoflow") / "shipped")).iterdir())
    found = {folder.name: _model_file(folder) for folder in folders if folder.is_dir()}
    return {name: model for name, model in found.items() if model is not None}


def describe_model(name_or_folder: str | Path) -> ModelFile:
    """What a shipped model is, or the folder of a model or a run; reads no weights.

    Raises:
        CheckpointError: if there is no such model, or its file is damaged.
    """
    inside = shipped()
    if str(name_or_folder) in inside:
        return inside[str(name_or_folder)]
    folder = Path(name_or_folder)
    found = _model_file(folder) or _model_file(folder / "model")
    if found is None:
        raise CheckpointError(
            f"no model {str(name_or_folder)!r}: expected a folder with {', '.join(_KINDS)}, "
            f"or one of the shipped models: {', '.join(inside)}"
        )
    return found


def load_generator(
    name_or_folder: str | Path, *, device: str = "cpu"
) -> Generator | PointGenerator:
    """The generator of a shipped model or a folder, of the kind that its card says.

    Raises:
        CheckpointError: if there is no such model, or its files are damaged.
    """
    path = find_model(name_or_folder)
    kind = GENERATORS[read_config(path).representation]
    return kind.from_pretrained(path.parent, device=device)


def _model_file(folder: Path) -> ModelFile | None:
    for name, kind in _KINDS.items():
        path = folder / name
        if path.is_file():
            if kind is not None:
                return ModelFile(path, kind)
            config = read_config(path)
            return ModelFile(path, config.representation, config.categories)
    return None
