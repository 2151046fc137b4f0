"""Objectives: losses whose minimiser is the flow map of the data, one per file."""

from __future__ import annotations

from geoflow.objectives.base import Losses, Objective, Weight
from geoflow.objectives.cumulative import Cumulative
from geoflow.objectives.flow_matching import FlowMatching

__all__ = ["OBJECTIVES", "Cumulative", "FlowMatching", "Losses", "Objective", "Weight"]

OBJECTIVES: dict[str, type[Objective]] = {
    "flow-matching": FlowMatching,
    "cumulative": Cumulative,
}
