"""Shared fixtures: an own cache, a seed, and a path that subprocesses of a bare checkout need.

Shapes of tensors are checked while the tests run, by jaxtyping and beartype; `--typecheck off` goes
without, as tests marked `compile` must: torch.compile does not see through the checks.
"""

import os
from pathlib import Path

import jaxtyping
import pytest
import torch

_ROOT = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: threads of one would wait for those of the other.
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# An int is a float where a float is asked for, as in the type checker.
_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
_PACKAGES = ["geoflow", "geoflow_cli", "geoflow_datasets", "geoflow_tools", "geoflow_viewer"]


def pytest_addoption(parser):
    parser.addoption("--typecheck", choices=("on", "off"), default="on")


def pytest_configure(config):
    if config.getoption("--typecheck") == "on":
        # Before the first test imports what is to be checked.
        jaxtyping.install_import_hook(_PACKAGES, _CHECKER)


def pytest_collection_modifyitems(config, items):
    """Tests that cannot be checked are left to a run of their own."""
    if config.getoption("--typecheck") == "on":
        left = [item for item in items if item.get_closest_marker("compile")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


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


@pytest.fixture
def unchecked(monkeypatch):
    """Without checks of types and shapes, where a test gives wrong ones to see them refused."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
