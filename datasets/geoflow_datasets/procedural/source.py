"""Banks of procedural shapes."""

from __future__ import annotations

from geoflow.geometry import box, outline, sdf
from geoflow_datasets import layouts, made, procedural, queries
from geoflow_datasets.digest import digest_of_sources


def _version() -> str:
    return digest_of_sources(procedural, sdf, outline, box, queries, layouts, made)


PROCEDURAL = made.Made(
    "procedural", procedural.CATEGORIES, procedural.make_samples, version=_version
)
check, load = PROCEDURAL.check, PROCEDURAL.load
