"""The benchmark of inversion: what comes back with the rest is the autoencoder's own."""

import pytest

from geoflow_tools.bench.inversion import InversionBenchmark


@pytest.mark.slow
def test_with_the_rest_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFLOW_CACHE", str(tmp_path))
    found = InversionBenchmark(
        num=1, steps=(1, 2), ode_steps=2, inversion_steps=2, resolution=24
    ).measure()
    ratio = found["ratio"]
    assert ratio["autoencoder"] == 1.0
    assert ratio["with the rest"] == pytest.approx(1.0, abs=1e-3)
    assert set(ratio) == {
        "autoencoder", "1 steps", "2 steps", "2 steps of the ODE", "with the rest",
    }  # fmt: skip
