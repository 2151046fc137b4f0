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
    "PointGenerator": "geoflow.models.clouds",
    "TokenTransformer": "geoflow.backbones",
    "extract_mesh": "geoflow.geometry.extraction",
    "load_generator": "geoflow.models.kinds",
    "sample_flow_map": "geoflow.samplers",
    "sample_ode": "geoflow.samplers",
}

if TYPE_CHECKING:
    from geoflow.backbones import FieldAutoencoder, TokenTransformer
    from geoflow.condition import Condition
    from geoflow.flow_map import FlowMap
    from geoflow.geometry.extraction import extract_mesh
    from geoflow.models.clouds import PointGenerator
    from geoflow.models.fields import Generator
    from geoflow.models.kinds import load_generator
    from geoflow.objectives import Cumulative, FlowMatching
    from geoflow.samplers import sample_flow_map, sample_ode

__all__ = [
    "Condition",
    "Cumulative",
    "FieldAutoencoder",
    "FlowMap",
    "FlowMatching",
    "Generator",
    "PointGenerator",
    "TokenTransformer",
    "extract_mesh",
    "load_generator",
    "sample_flow_map",
    "sample_ode",
]


def __getattr__(name: str) -> Any:
    """Import a public name where it lives."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'geoflow' has no attribute {name!r}")
