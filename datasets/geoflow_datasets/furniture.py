"""The catalogues of Sweet Home 3D: names, creators and poses of the models of a .sh3f archive."""

from __future__ import annotations

import re
from dataclasses import dataclass

CATALOGUE = "PluginFurnitureCatalog.properties"
"""Of an archive, which is a zip."""


@dataclass(frozen=True)
class Entry:
    """One model of a catalogue."""

    name: str
    model: str
    creator: str
    licence: str
    rotation: tuple[float, ...] | None
    """Rows of the matrix that stands it up, where it lies."""


def read_catalogue(content: bytes) -> list[Entry]:
    """Entries of a catalogue's properties."""
    text = content.decode("latin-1")
    pairs = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")
    )
    entries = []
    for key, name in pairs.items():
        if match := re.fullmatch(r"name#(\d+)", key):
            i = match.group(1)
            turn = pairs.get(f"modelRotation#{i}")
            entries.append(
                Entry(
                    name.strip(),
                    pairs[f"model#{i}"].strip().lstrip("/"),
                    pairs.get(f"creator#{i}", "unknown").strip(),
                    pairs.get(f"license#{i}", pairs.get("license", "unknown")).strip(),
                    tuple(float(x) for x in turn.split()) if turn else None,
                )
            )
    return entries
