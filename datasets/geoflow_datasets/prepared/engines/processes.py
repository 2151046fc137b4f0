"""Processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable

from geoflow_datasets.prepared.engines.base import Crew, Engine, J, R
from geoflow_datasets.prepared.limited import Pool


def process_engine(work: Callable[[J], R], crew: Crew) -> Engine[J, R]:
    """One process per core, or as many as are asked for.

    Raises:
        ValueError: for an address.
    """
    if crew.address is not None:
        raise ValueError(f"processes of this machine have no address: leave out {crew.address}")
    return Pool(work, crew.workers or os.cpu_count() or 1, crew.limits).run
