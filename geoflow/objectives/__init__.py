"""Objectives: losses whose minimiser is the flow map of the data, one per file."""

from __future__ import annotations

from geoflow.objectives.base import Distillation, Losses, Objective, PathSample, Weight
from geoflow.objectives.consistency import Consistency
from geoflow.objectives.consistency_trajectory import ConsistencyTrajectory
from geoflow.objectives.cumulative import Cumulative
from geoflow.objectives.data_free import DataFree
from geoflow.objectives.eulerian import Eulerian
from geoflow.objectives.flow_map_matching import FlowMapMatching
from geoflow.objectives.flow_matching import FlowMatching
from geoflow.objectives.guided import Guide
from geoflow.objectives.improved_mean_flow import ImprovedMeanFlow
from geoflow.objectives.lagrangian import Lagrangian
from geoflow.objectives.neural_operator import NeuralOperator
from geoflow.objectives.pooled import Pool, SetPool
from geoflow.objectives.progressive import Progressive
from geoflow.objectives.special_cases import SPECIAL_CASES, SpecialCase

__all__ = [
    "OBJECTIVES",
    "SPECIAL_CASES",
    "Consistency",
    "ConsistencyTrajectory",
    "Cumulative",
    "DataFree",
    "Distillation",
    "Eulerian",
    "FlowMapMatching",
    "FlowMatching",
    "Guide",
    "ImprovedMeanFlow",
    "Lagrangian",
    "Losses",
    "NeuralOperator",
    "Objective",
    "PathSample",
    "Pool",
    "Progressive",
    "SetPool",
    "SpecialCase",
    "Weight",
    "build_objective",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "flow-matching": FlowMatching,
    "cumulative": Cumulative,
    "lagrangian": Lagrangian,
    "eulerian": Eulerian,
    "progressive": Progressive,
    "flow-map-matching": FlowMapMatching,
    "consistency": Consistency,
    "consistency-trajectory": ConsistencyTrajectory,
    "neural-operator": NeuralOperator,
    "improved-mean-flow": ImprovedMeanFlow,
    "data-free": DataFree,
}


def build_objective(name: str) -> Objective:
    """The objective, or special case, of a name, with its default settings.

    Raises:
        ValueError: for an unknown name.
    """
    if name in OBJECTIVES:
        return OBJECTIVES[name]()
    if name in SPECIAL_CASES:
        return SPECIAL_CASES[name].build()
    raise ValueError(
        f"objective must be one of {', '.join([*OBJECTIVES, *SPECIAL_CASES])}, got {name!r}"
    )
