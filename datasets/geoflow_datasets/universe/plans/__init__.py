"""How the parts of an assembly hang together: plans by the way of making."""

from geoflow_datasets.universe.plans.built import case, frame, panel, stand
from geoflow_datasets.universe.plans.free import free
from geoflow_datasets.universe.plans.living import body, plant
from geoflow_datasets.universe.plans.moving import tool, vehicle
from geoflow_datasets.universe.plans.turned import stack, vessel

__all__ = [
    "body",
    "case",
    "frame",
    "free",
    "panel",
    "plant",
    "stack",
    "stand",
    "tool",
    "vehicle",
    "vessel",
]
