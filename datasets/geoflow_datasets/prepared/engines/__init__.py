"""Who does the jobs of a preparation: a table of engines, one file each.

All give the same shapes: what a job gives depends on the job alone, and where it goes is settled
before it is given. An engine decides where the processes run, and what happens when one is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geoflow_datasets.prepared.engines.base import Crew, Engine
from geoflow_datasets.prepared.engines.on_ray import ray_engine
from geoflow_datasets.prepared.engines.processes import process_engine
from geoflow_datasets.prepared.makers import Job

ENGINES: dict[str, Callable[[Callable[[Job], Any], Crew], Engine[Job, Any]]] = {
    "processes": process_engine,
    "ray": ray_engine,
}
"""Engines by the names of `--engine`: what is done with a job, and by whom."""

__all__ = ["ENGINES", "Crew", "Engine"]
