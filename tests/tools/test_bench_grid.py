"""The benchmark of grids: its distance is one of distributions, and it tells what jumps along."""

from dataclasses import replace

import pytest
import torch
from tiny_models import tiny_models

from geoflow_tools.bench.energy import energy_distance
from geoflow_tools.bench.grid import GridBenchmark


def test_the_energy_distance_is_that_of_distributions():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 400, 2, 3, generator=generator, dtype=torch.float64)
    assert abs(energy_distance(a, b)) < 0.03
    # Twins: a shift, and a spread, is seen; a shift by s of one dimension is about s**2 / sqrt(pi).
    assert energy_distance(a, b + 0.5) > 0.2
    assert energy_distance(a, 0.5 * b) > 0.2
    line = torch.randn(2, 4000, 1, generator=generator, dtype=torch.float64)
    expected = 0.3**2 / torch.pi**0.5
    assert energy_distance(line[0], line[1] + 0.3) == pytest.approx(expected, abs=0.02)
    with pytest.raises(ValueError, match="two sets of at least 2 are compared, got 1 and 400"):
        energy_distance(a[:1], b)


def test_grids_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFLOW_CACHE", str(tmp_path))
    model = tiny_models()["shapes"]
    model.config = replace(model.config, categories=("mug", "bottle"))
    model.save_pretrained(tmp_path / "model")
    asked = {"model": str(tmp_path / "model"), "num": 4, "powers": (1.0, 3.0), "ode_steps": 2}
    found = GridBenchmark(categories=("mug",), steps=(1, 2), **asked).measure()
    mean = found["mean"]
    assert mean == {
        name: value for name, value in found["each"]["mug"].items() if "half" not in name
    }
    # One jump is one, whatever the power.
    assert mean["1 jumps, power 1"] == mean["1 jumps, power 3"]
    assert mean["2 jumps, power 1"] != mean["2 jumps, power 3"]
    assert "2 steps of the ODE" in mean
