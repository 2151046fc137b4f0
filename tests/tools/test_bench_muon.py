"""The benchmark of Muon: both move alike, and kernels are counted; its times are not asserted."""

import pytest

from geoflow_tools.bench.muon import LIBRARY, MuonBenchmark


@pytest.mark.slow
def test_both_move_the_matrices_of_a_model_alike():
    found = MuonBenchmark(model="shapes", repeats=1).measure()
    for part in ("autoencoder", "flow_map"):
        difference = found[part]["difference"]
        assert difference["float32"] == 0.0
        assert 0 < difference["bfloat16"] < 0.03
        assert 0 < difference[LIBRARY] < 0.03
    assert found["autoencoder"]["kernels"] > 0
    assert found["flow_map"]["kernels"] == 0
