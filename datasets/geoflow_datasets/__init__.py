"""Sources of data: made by seed, folders of meshes, clouds or rigs, a mesh file.

`load` gives what a source holds, `check` refuses at once what cannot be loaded, `describe` says
what became of every file. All sources are rows of `SOURCES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoflow_datasets.request import MADE, PROCEDURAL, UNIVERSE
    from geoflow_datasets.sources import SOURCES, check, describe, load

_WORDS = ("MADE", "PROCEDURAL", "UNIVERSE")
__all__ = ["MADE", "PROCEDURAL", "SOURCES", "UNIVERSE", "check", "describe", "load"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: worker processes need none of them."""
    if name in __all__:
        from geoflow_datasets import request, sources

        return getattr(request if name in _WORDS else sources, name)
    raise AttributeError(f"module 'geoflow_datasets' has no attribute {name!r}")
