"""Meshes of a generator of many kinds of things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from geoflow_viewer.kinds import fields


@dataclass(frozen=True)
class Source(fields.Source):
    """Meshes of a generator of many kinds of things."""

    kind: ClassVar[str] = "shapes"
