"""The benchmark of a GPU's steps, run on a processor; what it counts is what was launched."""

from dataclasses import replace

import pytest
import torch
from tiny_models import tiny_models
from torch import nn

from geoflow.models.checkpoint import CheckpointError
from geoflow.models.volumes import VolumeGenerator
from geoflow_tools.bench.gpu import GpuBenchmark, profiled

SMALL = {"batch": 2, "num_queries": 16, "flow_batch": 4, "points": (16, 32), "repeats": 1}


@pytest.mark.slow
def test_steps_are_timed_and_told_apart(tmp_path):
    config = tiny_models()["shapes"].config
    told = replace(config.transformer, guided=True, points=True)
    VolumeGenerator.build(replace(config, transformer=told)).save_pretrained(tmp_path)
    found = GpuBenchmark(model=str(tmp_path), device="cpu", ways=("eager", "graph"), **SMALL)
    steps = found.measure()["steps"]
    assert list(steps) == ["autoencoder, 16 points", "autoencoder, 32 points", "flow"]
    for row in steps.values():
        assert row["eager"] > 0
        assert row["graph"] > 0
        assert row["launches"] > 100
        assert 0 < row["products"] < 1
        assert sum(row["slowest"].values()) <= 1.01 * row["busy"]


def test_products_are_told_from_the_rest():
    a, conv = torch.randn(200, 200), nn.Conv3d(8, 8, 3)
    volume = torch.randn(2, 8, 12, 12, 12)
    assert profiled(lambda: a @ a @ a, is_cuda=False)["products"] > 0.7
    assert profiled(lambda: conv(volume), is_cuda=False)["products"] > 0.5
    # Twin.
    assert profiled(lambda: a.sin().cos().sum(), is_cuda=False)["products"] == 0
    assert profiled(lambda: a.sin().cos(), is_cuda=False)["launches"] == 2


def test_other_kinds_and_missing_gpus_are_refused(tmp_path):
    tiny_models()["sdf"].save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="shapes"):
        GpuBenchmark(model=str(tmp_path), device="cpu", **SMALL).measure()
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit, match="finds no GPU here"):
            GpuBenchmark(**SMALL).measure()
