"""Few-step generation of 3D geometry by cumulative flow maps and equivariant networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use: torch costs seconds, which `geoflow --help` must not pay.
_LAZY = {
    "Condition": "geoflow.typing",
    "Cumulative": "geoflow.objectives",
    "FieldAutoencoder": "geoflow.backbones",
    "FlowMap": "geoflow.flow_map",
    "FlowMatching": "geoflow.objectives",
    "Generator": "geoflow.generator",
    "PointGenerator": "geoflow.point_generator",
    "TokenTransformer": "geoflow.backbones",
    "extract_mesh": "geoflow.geometry.extraction",
    "load_generator": "geoflow.pretrained",
    "sample_flow_map": "geoflow.samplers",
    "sample_ode": "geoflow.samplers",
}

if TYPE_CHECKING:
    from geoflow.backbones import FieldAutoencoder, TokenTransformer
    from geoflow.flow_map import FlowMap
    from geoflow.generator import Generator
    from geoflow.geometry.extraction import extract_mesh
    from geoflow.objectives import Cumulative, FlowMatching
    from geoflow.point_generator import PointGenerator
    from geoflow.pretrained import load_generator
    from geoflow.samplers import sample_flow_map, sample_ode
    from geoflow.typing import Condition

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
