"""Models of every representation, by name or folder."""

from __future__ import annotations

from pathlib import Path

from geoflow.generator import Generator
from geoflow.latent_generator import find_model, read_config
from geoflow.point_generator import PointGenerator

GENERATORS: dict[str, type[Generator] | type[PointGenerator]] = {
    "sdf": Generator,
    "points": PointGenerator,
}
"""Generators by representation."""


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
