"""Banks of the universe's shapes."""

from __future__ import annotations

from importlib import metadata

from geoflow_datasets import layouts, made, mesh_light, mesh_parts, queries, universe, warps
from geoflow_datasets.digest import digest_of_sources
from geoflow_datasets.universe import plans


def _version() -> str:
    sources = digest_of_sources(
        universe, plans, layouts, made, mesh_light, mesh_parts, queries, warps
    )
    # Another version of the booleans may round otherwise.
    return f"{sources}-{metadata.version('manifold3d')}"


UNIVERSE = made.Made("universe", universe.CATEGORIES, universe.make_samples, version=_version)
check, load = UNIVERSE.check, UNIVERSE.load
