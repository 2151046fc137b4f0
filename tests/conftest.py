"""Shared fixtures: an own cache, a seed, and a path that subprocesses of a bare checkout need."""

import os
from pathlib import Path

import pytest
import torch

_ROOT = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: threads of one would wait for those of the other.
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Banks of the tests go to a folder of their own, for subprocesses too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GEOFLOW_CACHE", str(folder))
        parts = (".", "datasets", "tools", "viewer")
        patch.setenv("PYTHONPATH", os.pathsep.join(str(_ROOT / part) for part in parts))
        yield folder


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
