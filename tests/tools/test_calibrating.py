"""Samples are moved to where their mean and their spread are those of the data."""

import json
import time
from dataclasses import dataclass, field, replace

import pytest
import torch
from tiny_models import networks_apart, told_model
from told_data import Level, Steps, data_of, seeded

from geoflow.models.kinds import load
from geoflow.training.processes import Processes
from geoflow_tools.bench.energy import energy_distance
from geoflow_tools.fit_jumps.__main__ import CalibrateOptions, DataOptions
from geoflow_tools.fit_jumps.calibrating import Calibrating
from geoflow_tools.fit_jumps.calibration import Calibration, principal_axes
from geoflow_tools.fit_jumps.drawing import before_last, names, sampled


def normal(num, deviations, mean, seed):
    x = torch.randn(num, len(deviations), generator=seeded(seed), dtype=torch.float64)
    return torch.tensor(mean, dtype=torch.float64) + x * torch.tensor(deviations)


def calibrated(data, samples):
    return Calibration.fit(data, samples, principal_axes(data, 2))


def calibrating(model, steps, **changes):
    asked = {"batch": 16, "most": 96, "num_axes": 8, **changes}
    clock = Steps(steps, time.monotonic())
    return Calibrating(model=model, data=data_of(model), scans=None, clock=clock, **asked)


def test_mean_and_spread_become_those_of_the_data():
    # Two axes of data, one of them turned into the other's place in the samples' widths; the third
    # has nothing in the data.
    data = normal(20_000, [3.0, 1.0, 0.01], [1.0, 2.0, 0.0], seed=1)
    samples = normal(20_000, [1.5, 2.0, 1.0], [0.0, 5.0, 4.0], seed=2)
    moved = calibrated(data, samples)(samples)
    torch.testing.assert_close(moved.mean(0), data.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(moved.std(0), data.std(0), rtol=0.02, atol=0.0)
    # What is as it should be stays, and what lies beside all axes is not made wider.
    calibration = calibrated(data, data[:10_000])
    torch.testing.assert_close(calibration(data), data, rtol=0, atol=0.1)
    thin = normal(20_000, [3.0, 1.0, 0.001], [1.0, 2.0, 0.0], seed=3)
    assert calibrated(data, thin).shrink == 1.0
    # Ratios that few samples cannot tell are bounded.
    narrow = normal(20_000, [0.3, 30.0, 0.01], [1.0, 2.0, 0.0], seed=4)
    assert calibrated(data, narrow).ratios.tolist() == [2.5, 0.3]
    with pytest.raises(ValueError, match="needs 5 data and samples at least, got 4 and 9"):
        calibrated(data[:4], samples[:9])


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_state_before_the_last_jump_is_that_of_a_sample(restarts, steps):
    model = told_model()
    model.config = replace(model.config, restarts=restarts)
    cond = names(model, torch.tensor([0, 1, 1]))
    noise = torch.randn(3, *data_of(model).tokens.shape[1:], generator=seeded(5))
    x, t, r = before_last(model, model.flow_map, cond, steps, seeded(5))
    last = sampled(model, model.flow_map, cond, steps, seeded(5))
    assert last.requires_grad
    with torch.no_grad():
        *_, expected = model.states(model.flow_map, noise, cond, steps=steps)
        torch.testing.assert_close(model.flow_map(x, t, r, cond), expected)
    torch.testing.assert_close(last.detach(), expected)


def test_a_step_moves_the_map_alone():
    model = told_model()
    fit = calibrating(model, 2, emphasis={model.categories[0]: 0.0})
    before = [p.clone() for p in fit.flow_map.parameters()]
    told = []
    assert fit.run(lambda step, losses: told.append((step, set(losses)))) == 2
    assert told == [(1, {"fitted", "kept"}), (2, {"fitted", "kept"})]
    moved = [
        not torch.equal(p, was) for p, was in zip(fit.flow_map.parameters(), before, strict=True)
    ]
    assert sum(moved) > 0.5 * len(moved)
    kept = fit.keeping.teacher.state_dict()
    assert all(torch.equal(p, kept[name]) for name, p in model.flow_map.state_dict().items())
    assert set(fit.ways) == {(c, steps) for c in (0, 1) for steps in (1, 2, 4)}


def test_a_calibration_goes_on_to_the_bit():
    model = told_model()

    def training(steps):
        made = calibrating(model, 1, learning_rate=3e-3)
        made.clock = Level(steps, 0.0)
        return made

    def ignored(step, losses):
        pass

    whole, half, rest = training(5), training(3), training(2)
    whole.run(ignored)
    half.run(ignored)
    rest.go_on({name: part.clone() for name, part in half.state().items()}, half.step)
    assert rest.run(ignored) == 5
    found, wanted = rest.state(), whole.state()
    assert found.keys() == wanted.keys()
    assert {name.partition(".")[0] for name in found} == {
        "map", "average", "mover/matrices", "mover/others"
    }  # fmt: skip
    assert all(torch.equal(part, wanted[name]) for name, part in found.items())


@dataclass(frozen=True)
class OneOf(Processes):
    """A process whose sums are its own, kept."""

    kept: list = field(default_factory=list)

    def total(self, values):
        self.kept.append(values.clone())
        return values


def test_processes_share_samples_out_and_draw_each_once():
    shares, most = [], 250
    for rank, num in ((0, 1), (0, 2), (1, 2)):
        process = OneOf(rank, num)
        model = told_model()
        Calibrating(
            model=model, data=data_of(model, 500), scans=None, clock=Steps(1, 0.0), most=most,
            num_axes=8, processes=process,
        )  # fmt: skip
        shares.append([drawn for drawn in process.kept if drawn.ndim == 3])
    alone, first, second = shares
    assert [len(drawn) for drawn in alone] == [2 * most] * 6
    for whole, one, other in zip(alone, first, second, strict=True):
        torch.testing.assert_close(one + other, whole)
        taken = [part.flatten(1).any(1) for part in (one, other)]
        assert not (taken[0] & taken[1]).any()
        assert [int(t.sum()) for t in taken] == [300, 200]
        # Nothing is drawn twice.
        assert len(whole.flatten(1).unique(dim=0)) == 2 * most


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [False, True])
def test_samples_spread_as_the_data_do(restarts):
    model = told_model()
    model.config = replace(model.config, restarts=restarts)
    fit = calibrating(model, 500, batch=32, learning_rate=3e-3)
    fit.run(lambda step, losses: None)
    for steps in (1, 2, 4):
        far = []
        for flow_map in (fit.kept().flow_map, model.flow_map):
            with torch.no_grad():
                drawn = sampled(
                    model,
                    flow_map,
                    names(model, torch.zeros(64, dtype=torch.long)),
                    steps,
                    seeded(9),
                )
            far.append(energy_distance(drawn, fit.data.tokens[fit.data.category == 0]))
        assert far[0] < 0.5 * far[1], steps


@pytest.mark.slow
def test_the_command_writes_a_model(tmp_path, capsys):
    model = told_model()
    model.save_pretrained(tmp_path / "start")
    asked = {"out": tmp_path / "out", "model": str(tmp_path / "start")}
    (tmp_path / "out").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no data-\*\.npz: `fit_jumps data` writes"):
        CalibrateOptions(**asked).run()
    DataOptions(num=12, **asked).run()
    DataOptions(num=5, split="val", **asked).run()
    capsys.readouterr()
    CalibrateOptions(seconds=5, batch=4, **asked).run()
    said = json.loads(capsys.readouterr().out.strip())
    assert set(said["energies"]) == set(said["distances"]) == {"chair"}
    made = load(tmp_path / "out" / "calibrated")
    assert made.card["calibrated"] == {"steps": said["step"], "shapes": 12}
    assert networks_apart(made, load(tmp_path / "start")) == {"flow"}
