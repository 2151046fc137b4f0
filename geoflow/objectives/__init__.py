"""Training objectives, one file each. The key is the name on the command line."""

from geoflow.objectives.base import Losses, Objective
from geoflow.objectives.cumulative import Cumulative
from geoflow.objectives.flow_matching import FlowMatching

OBJECTIVES: dict[str, type[Objective]] = {
    "flow-matching": FlowMatching,
    "cumulative": Cumulative,
}

__all__ = ["OBJECTIVES", "Cumulative", "FlowMatching", "Losses", "Objective"]
