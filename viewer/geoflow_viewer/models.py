"""Models that sessions share, by name, each loaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from geoflow.models.clouds import PointGenerator
from geoflow.models.distribution import WEIGHTS, GeometryDistribution
from geoflow.models.fields import Generator
from geoflow.models.kinds import load_generator
from geoflow.models.latent import shipped_models
from geoflow_viewer.sources import SOURCES, Source
from geoflow_viewer.state import SHOWS

Model: TypeAlias = Generator | PointGenerator | GeometryDistribution


def load_model(name_or_folder: str, *, device: str = "cpu") -> Model:
    """A shipped model, or a folder's: meshes, clouds, or the points of one surface.

    Raises:
        CheckpointError: if there is none, or its files are damaged.
    """
    folder = Path(name_or_folder)
    if any(path.is_file() for path in (folder / WEIGHTS, folder / "model" / WEIGHTS)):
        return GeometryDistribution.from_pretrained(folder, device=device)
    return load_generator(name_or_folder, device=device)


class Models:
    """Models by name, each loaded once, for every session of a process."""

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        load: Callable[[str], Model] = load_model,
    ) -> None:
        shipped = (*shipped_models("sdf"), *shipped_models("points"))
        self.names = list(dict.fromkeys([*names, *shipped]))
        self._load = load
        self._loaded: dict[str, Source] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Source:
        """What makes shapes with a model; only names of the list are loaded.

        Raises:
            ValueError: for another name.
            CheckpointError: if its files are missing or damaged.
        """
        if name not in self.names:
            raise ValueError(f"model must be one of {', '.join(self.names)}, got {name!r}")
        with self._lock:
            if name not in self._loaded:
                model = self._load(name)
                self._loaded[name] = SOURCES[type(model)](model)
            return self._loaded[name]

    def categories(self, name: str) -> tuple[str, ...]:
        """Categories of a model, none before it is loaded."""
        source = self._loaded.get(name)
        return () if source is None else source.categories

    def shows(self, name: str) -> tuple[str, ...]:
        """What can be drawn of a model's shapes, everything before it is loaded."""
        source = self._loaded.get(name)
        return SHOWS if source is None else source.shows

    def kind(self, name: str) -> str:
        """Representation of a model; sdf before it is loaded."""
        source = self._loaded.get(name)
        return "sdf" if source is None else source.kind
