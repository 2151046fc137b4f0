"""Few-step generation of 3D geometry by cumulative flow maps and equivariant networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use: torch costs seconds, which `geoflow --help` must not pay.
_LAZY = {
    "Condition": "geoflow.condition",
    "Cumulative": "geoflow.objectives",
    "FieldAutoencoder": "geoflow.backbones",
    "FlowMap": "geoflow.flow_map",
    "FlowMatching": "geoflow.objectives",
    "Generator": "geoflow.models.fields",
    "GeometryDistribution": "geoflow.models.distribution",
    "INTERPOLANTS": "geoflow.interpolant",
    "KINDS": "geoflow.models.kinds",
    "OBJECTIVES": "geoflow.objectives",
    "PREDICTIONS": "geoflow.prediction",
    "PointGenerator": "geoflow.models.clouds",
    "Rigger": "geoflow.models.joints",
    "SurfacePoints": "geoflow.backbones.field_codec",
    "TokenTransformer": "geoflow.backbones",
    "VolumeGenerator": "geoflow.models.volumes",
    "build_objective": "geoflow.objectives",
    "complete": "geoflow.models.completion",
    "extract_mesh": "geoflow.geometry.extraction",
    "load": "geoflow.models.kinds",
    "read_mesh": "geoflow.geometry.read_mesh",
    "read_points": "geoflow.geometry.read_points",
    "sample_consistency": "geoflow.samplers",
    "sample_flow_map": "geoflow.samplers",
    "sample_ode": "geoflow.samplers",
}

if TYPE_CHECKING:
    from geoflow.backbones import FieldAutoencoder, TokenTransformer
    from geoflow.backbones.field_codec import SurfacePoints
    from geoflow.condition import Condition
    from geoflow.flow_map import FlowMap
    from geoflow.geometry.extraction import extract_mesh
    from geoflow.geometry.read_mesh import read_mesh
    from geoflow.geometry.read_points import read_points
    from geoflow.interpolant import INTERPOLANTS
    from geoflow.models.clouds import PointGenerator
    from geoflow.models.completion import complete
    from geoflow.models.distribution import GeometryDistribution
    from geoflow.models.fields import Generator
    from geoflow.models.joints import Rigger
    from geoflow.models.kinds import KINDS, load
    from geoflow.models.volumes import VolumeGenerator
    from geoflow.objectives import OBJECTIVES, Cumulative, FlowMatching, build_objective
    from geoflow.prediction import PREDICTIONS
    from geoflow.samplers import sample_consistency, sample_flow_map, sample_ode

__all__ = [
    "INTERPOLANTS",
    "KINDS",
    "OBJECTIVES",
    "PREDICTIONS",
    "Condition",
    "Cumulative",
    "FieldAutoencoder",
    "FlowMap",
    "FlowMatching",
    "Generator",
    "GeometryDistribution",
    "PointGenerator",
    "Rigger",
    "SurfacePoints",
    "TokenTransformer",
    "VolumeGenerator",
    "build_objective",
    "complete",
    "extract_mesh",
    "load",
    "read_mesh",
    "read_points",
    "sample_consistency",
    "sample_flow_map",
    "sample_ode",
]


def __getattr__(name: str) -> Any:
    """Import a public name where it lives."""
    if name == "neighbors":
        return importlib.import_module("geoflow.geometry.neighbors")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'geoflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__", "neighbors"])
