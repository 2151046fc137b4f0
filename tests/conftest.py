"""Shared fixtures: one thread, an own cache, and tiny runs for the command line."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Banks of the tests go to a folder of their own, for subprocesses too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GEOFLOW_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
