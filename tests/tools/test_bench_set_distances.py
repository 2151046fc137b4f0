"""The comparison of clouds trained with and without distances of sets, in small."""

from dataclasses import replace

import pytest
import torch
from tiny_models import tiny_models

from geoflow.models.clouds import PointGenerator
from geoflow_tools.bench import set_distances
from geoflow_tools.bench.set_distances import SetDistancesBenchmark
from geoflow_tools.train_shapes.loops import Clock


class Counting(Clock):
    """A clock of steps, where processor time would tell nothing twice."""

    def __init__(self, seconds):
        super().__init__(seconds, 0.0)
        self.num = 0

    @property
    def share(self):
        return self.num / self.seconds

    def steps(self):
        while self.num < self.seconds:
            yield self.num
            self.num += 1


@pytest.fixture
def start(tmp_path):
    folder = tmp_path / "points"
    config = replace(tiny_models()["points"].config, categories=("mug", "bottle"))
    torch.manual_seed(0)
    PointGenerator.build(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_rows_are_of_weights_and_seeds(start, monkeypatch):
    monkeypatch.setattr(set_distances, "_ProcessorClock", Counting)
    benchmark = SetDistancesBenchmark(
        start=start, weights=(0.0, 5.0), seeds=2, seconds=2, batch=2, num_shapes=2, num=1
    )
    rows = benchmark.measure()["rows"]
    assert list(rows) == ["before", "weight 0", "weight 5"]
    (first, second), (with_sets, _) = (rows[name]["runs"] for name in list(rows)[1:])
    assert first["steps"] == second["steps"] == 2
    # Each trains elsewhere: by its seed, and by its weight.
    ones = [run["surface"]["1"] for run in (rows["before"], first, second, with_sets)]
    assert len(set(ones)) == 4
    mean, deviation = rows["weight 0"]["surface"]["1"]
    assert mean == pytest.approx((ones[1] + ones[2]) / 2)
    assert deviation == pytest.approx(abs(ones[1] - ones[2]) / 2**0.5)
    # Twin: the same again.
    assert benchmark.measure()["rows"] == rows


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"seconds": 0.0}])
def test_no_training_is_refused(start, wrong):
    with pytest.raises(ValueError, match="give at least 1 seed and a time above 0"):
        SetDistancesBenchmark(start=start, **wrong).measure()
