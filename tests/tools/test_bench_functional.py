"""The benchmark of the functional formulation: what it trains on, and that it goes on where it
stopped."""

import json

import numpy as np
import pytest
import torch

from geoflow.backbones import MLP, MLPConfig
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import Linear
from geoflow.objectives import Cumulative
from geoflow_datasets.procedural.source import PROCEDURAL
from geoflow_tools.bench.completion import Case
from geoflow_tools.bench.functional import FunctionalBenchmark, HeldOut, of_values
from geoflow_tools.functional.network import FunctionalConfig
from geoflow_tools.functional.training import (
    CLAMP,
    RECIPES,
    FieldData,
    FunctionalTraining,
    build,
    context_places,
    train,
)
from geoflow_tools.timed_training import Pairs, train_for

SMALL = FunctionalConfig(context=5, width=16, heads=2, blocks=1, near=3, layers=1)


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def bank():
    return PROCEDURAL.bank(["mug"], split="train", num=8, num_workers=1)


def test_a_state_is_the_clamped_field_at_its_places(bank):
    config = FunctionalTraining(batch=3, points=6, queries=40)
    pairs = FieldData(bank, 30).draw(config, generator())
    assert pairs.x0.shape == pairs.x1.shape == (3, 70)
    assert pairs.cond.points.shape == (3, 6, 3)
    uniform_places = {tuple(p) for i in range(8) for p in bank.uniform_queries(i)[0].tolist()}
    stored = {
        tuple(place): value
        for places, values in zip(bank.queries.tolist(), bank.sdf.tolist(), strict=True)
        for place, value in zip(places, values, strict=True)
    }
    for places, values in zip(pairs.cond.places, pairs.x1, strict=True):
        assert {tuple(p) for p in places[:30].tolist()} <= uniform_places
        expected = np.clip([stored[tuple(p)] / CLAMP for p in places.tolist()], -1, 1)
        np.testing.assert_allclose(values.numpy(), expected, atol=1e-6)
    assert pairs.x1.abs().max() == 1


def test_maps_of_one_seed_start_alike_and_learn(bank):
    a, b = (build(RECIPES[row], SMALL, seed=3) for row in ("x1", "u"))
    for left, right in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(left, right)
    config = FunctionalTraining(seconds=0.4, batch=4, points=16, queries=16)
    steps, found = train(RECIPES["x1"], FieldData(bank, 5), config, SMALL, seed=3)
    assert steps >= 1
    moved = [(p - q).abs().max() for p, q in zip(a.parameters(), found.parameters(), strict=True)]
    assert max(moved) > 0


def test_a_training_that_diverges_is_not_kept(bank):
    config = FunctionalTraining(seconds=0.05, batch=2, points=8, queries=4, learning_rate=1e38)
    with pytest.raises(FloatingPointError, match="weights are not finite after"):
        train(RECIPES["x1"], FieldData(bank, 5), config, SMALL, seed=0)


def test_a_training_starts_with_flow_matching_and_hands_over_its_pairs(monkeypatch):
    clock = iter([0.0, 0.1, 0.2, 0.6, 2.0])
    monkeypatch.setattr("geoflow_tools.timed_training.time.process_time", lambda: next(clock))
    seen = []

    class Watched(Cumulative):
        def __call__(self, flow_map, x0, x1, cond=None, **rest):
            seen.append(cond)
            return super().__call__(flow_map, x0, x1, cond, **rest)

    flow_map = FlowMap(MLP(MLPConfig(size=2, width=8)), Linear(), "x1")
    cond = Condition(category=torch.zeros(2, dtype=torch.long))
    pairs = Pairs(torch.zeros(2, 2), torch.ones(2, 2), cond)
    config = FunctionalTraining(seconds=1.0, diagonal_first=0.5)
    steps, average = train_for(flow_map, Watched(), lambda _: pairs, config, seed=0)
    assert steps == 3
    assert seen == [cond]
    assert not average.module.training


def test_spread_and_sign_are_one_for_the_truth_and_none_for_a_constant():
    values = torch.linspace(-1, 1, 21)
    places = np.zeros((21, 3))
    case = Case(
        points=places, normals=None, surface=places, queries=places, inside=(values < 0).numpy()
    )
    held = HeldOut(case, values)
    assert of_values(held, values) == pytest.approx({"spread": 1.0, "sign_iou": 1.0})
    assert of_values(held, values / 2)["spread"] == pytest.approx(0.5)
    flat = of_values(held, torch.full((21,), 0.25))
    assert flat == pytest.approx({"spread": 0.0, "sign_iou": 0.0})


def tiny(runs, **changed):
    settings = {
        "category": "mug",
        "shapes": 8,
        "num": 2,
        "steps": (1, 2),
        "latent": None,
        "resolution": 16,
        "training": FunctionalTraining(seconds=0.2, batch=2, points=16, queries=8),
        "network": SMALL,
    }
    return FunctionalBenchmark(runs=runs, **{**settings, **changed})


def test_what_is_kept_is_not_done_again(tmp_path, monkeypatch):
    first = tiny(tmp_path, rows=("x1",)).measure()
    (row,) = first["medians"].values()
    assert row["training_steps"] >= 1
    assert set(row) == {"training_steps", "1", "2", "2, ODE"}
    assert row["2, ODE"] != row["2"]
    assert set(row["1"]) >= {"chamfer", "f_score", "iou", "boundary", "spread", "sign_iou"}
    assert json.loads(json.dumps(first)) == first
    trained = []

    def counting(recipe, *rest, **named):
        trained.append(recipe)
        return train(recipe, *rest, **named)

    monkeypatch.setattr("geoflow_tools.bench.functional.train", counting)
    sheet = tmp_path / "sheet.png"
    both = tiny(tmp_path, rows=("x1", "flow matching"), sheet=sheet).measure()
    assert trained == [RECIPES["flow matching"]]
    assert set(both["medians"]["functional flow matching, seed 0"]) == {"training_steps", "1", "2"}
    assert both["medians"]["functional x1, seed 0"] == row
    assert sheet.stat().st_size > 1000
    # A scoring that was cut off goes on from the weights.
    (tmp_path / "functional-x1-seed-0.json").unlink()
    again = tiny(tmp_path, rows=("x1",)).measure()
    assert again["medians"]["functional x1, seed 0"] == row
    assert len(trained) == 1
    with pytest.raises(ValueError, match=r"seed-0\.json is of other settings: name another folder"):
        tiny(tmp_path, rows=("x1",), resolution=24).measure()


def test_rows_and_seeds_are_checked(tmp_path):
    with pytest.raises(ValueError, match="rows are x1, u, flow matching; got v"):
        tiny(tmp_path, rows=("x1", "v")).measure()
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        tiny(tmp_path, seeds=0).measure()
    assert not list(tmp_path.iterdir())


def test_contexts_lie_in_the_box():
    places = context_places(500, generator=generator())
    assert places.shape == (1, 500, 3)
    assert 1.0 < places.abs().max() <= 1.05
