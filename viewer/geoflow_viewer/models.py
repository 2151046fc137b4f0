"""Models that sessions share, by name, each loaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from geoflow.models.base import Model, shipped
from geoflow.models.kinds import COMPLETING, DEFAULT, KINDS, Kind, load
from geoflow_viewer.kinds.source import Source
from geoflow_viewer.line import Line
from geoflow_viewer.shelf import Shelf
from geoflow_viewer.state import SHOWS


class Models:
    """Models by name, each loaded once, for every session of a process.

    Attributes:
        names: of those that make samples, the given ones first.
        solids: of those that make solids of opened clouds, the one to begin with first.
        shelf: shapes of samples that were made.
        line: in which sessions stand.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        load: Callable[[str], Model] = load,
    ) -> None:
        found = shipped()
        inside = (
            name
            for kind in KINDS.values()
            for name, file in found.items()
            if kind.has_samples and file.has_samples and file.kind == kind.name
        )
        self.names = list(dict.fromkeys([*names, *inside]))
        able = (name for name, file in found.items() if KINDS[file.kind].has_solids)
        self.solids = [COMPLETING, *(n for n in dict.fromkeys([*names, *able]) if n != COMPLETING)]
        self._load = load
        self._loaded: dict[str, Source] = {}
        self._lock = threading.Lock()
        self.shelf = Shelf()
        self.line = Line()

    def __getitem__(self, name: str) -> Source:
        """What makes shapes with a model; only names of the list are loaded.

        Raises:
            ValueError: for another name, or a model that makes no shapes of noise.
            CheckpointError: if its files are missing or damaged.
        """
        if name not in self.names and name not in self.solids:
            raise ValueError(f"model must be one of {', '.join(self.names)}, got {name!r}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = source_of(self._load(name))
            return self._loaded[name]

    def categories(self, name: str) -> tuple[str, ...]:
        """Categories of a model, none before it is loaded."""
        source = self._loaded.get(name)
        return () if source is None else source.categories

    def shows(self, name: str) -> tuple[str, ...]:
        """What can be drawn of a model's shapes, everything before it is loaded."""
        source = self._loaded.get(name)
        return SHOWS if source is None else source.shows

    def kind(self, name: str) -> Kind:
        """Kind of a model; before it is loaded, that of the default one."""
        source = self._loaded.get(name)
        return KINDS[DEFAULT if source is None else source.kind]


def source_of(model: Model) -> Source:
    """What makes shapes of states with a model.

    Raises:
        ValueError: for a model that makes no shapes of noise.
    """
    kind = KINDS[model.kind]
    if not kind.has_samples:
        raise ValueError(
            f"a model that finds {kind.makes} has no samples to show: geoflow rig --mesh FIGURE "
            "--out rig.json --png rig.png shows what it finds"
        )
    source: Source = kind.on("geoflow_viewer.kinds").Source(model)
    return source
