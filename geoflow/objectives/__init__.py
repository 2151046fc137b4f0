"""Objectives: losses whose minimiser is the flow map of the data, one per file."""

from __future__ import annotations

from geoflow.objectives.base import Losses, Objective, Weight
from geoflow.objectives.consistency import Consistency
from geoflow.objectives.cumulative import Cumulative
from geoflow.objectives.eulerian import Eulerian
from geoflow.objectives.flow_matching import FlowMatching
from geoflow.objectives.lagrangian import Lagrangian
from geoflow.objectives.progressive import Progressive

__all__ = [
    "OBJECTIVES",
    "Consistency",
    "Cumulative",
    "Eulerian",
    "FlowMatching",
    "Lagrangian",
    "Losses",
    "Objective",
    "Progressive",
    "Weight",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "flow-matching": FlowMatching,
    "cumulative": Cumulative,
    "lagrangian": Lagrangian,
    "eulerian": Eulerian,
    "progressive": Progressive,
    "consistency": Consistency,
}
