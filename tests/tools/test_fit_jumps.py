"""Jumps that are fitted to solutions of the ODE come nearer to them; all of it goes on."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from tiny_models import networks_apart, tiny_models, told_model

from geoflow.atomic import DamagedError
from geoflow.condition import ANY
from geoflow.models.kinds import load
from geoflow.samplers import sample_ode
from geoflow.testing import relative_error
from geoflow_tools.fit_jumps.__main__ import FitOptions, ScansOptions, SolveOptions, chances_of
from geoflow_tools.fit_jumps.fitting import HELD_OUT, Fit, jumps, lag
from geoflow_tools.fit_jumps.solutions import (
    BLOCK,
    Encoded,
    StoredSolutions,
    Told,
    solve,
    solver_times,
)
from geoflow_tools.train_shapes.loops import Clock
from geoflow_tools.train_shapes.packed import pack


class Steps(Clock):
    """A clock that stops after so many steps, as many as its seconds, whatever the time."""

    at = 0

    @property
    def share(self):
        return self.at / self.seconds

    def steps(self):
        for step in range(int(self.seconds)):
            self.at = step
            yield step


def scans_of(model, num=30):
    network = model.config.transformer
    tokens = torch.randn(num, network.num_tokens, network.scalars)
    return Encoded(tokens, torch.randint(2, (num,)))


def test_the_solver_stops_where_jumps_do():
    model = told_model()
    times = solver_times(model)
    assert (times.diff() > 0).all()
    assert times.diff().max() <= 0.12 + 1e-6
    # The first jumps, an eighth of all time, are four steps.
    assert (times < 0.125 + 1e-6).sum() == 5
    for steps, pairs in jumps(model, times).items():
        assert len(pairs) == steps
        ends = torch.stack([times[[i, j]] for i, j in pairs])
        grid = model.config.grid(steps).float()
        torch.testing.assert_close(ends, torch.stack([grid[:-1], grid[1:]], 1), rtol=0, atol=1e-7)


def test_what_samples_are_told_is_what_they_may_be_told():
    model = told_model()
    rng = np.random.default_rng(0)
    conds = [Told((0.75, 0.25), scans_of(model)).condition(model, rng) for _ in range(200)]
    given = torch.cat([cond.tokens for cond in conds]).flatten(1).any(1)
    category = torch.cat([cond.category for cond in conds])
    guidance = torch.cat([cond.guidance for cond in conds])
    assert given.float().mean() == pytest.approx(0.4, abs=0.1)
    assert (category[given] == ANY).float().mean() == pytest.approx(0.5, abs=0.05)
    assert (category[~given] == ANY).float().mean() == pytest.approx(0.1, abs=0.03)
    named = category[~given & (category != ANY)]
    assert (named == 0).float().mean() == pytest.approx(0.75, abs=0.04)
    # What goes through points, or may be anything, has no weight.
    assert (guidance[given | (category == ANY)] == 1).all()
    assert (guidance > 1).float().mean() == pytest.approx(0.4 * 0.6, abs=0.05)
    assert (guidance.min(), guidance.max() <= 4) == (1, True)
    plain = tiny_models()["sdf"]
    cond = Told(chances_of(plain)).condition(plain, rng)
    assert set(cond.parts()) <= {"frame", "category"}
    assert (cond.category >= 0).all()


def test_blocks_are_solutions_whoever_makes_them(tmp_path):
    model = told_model()
    told = Told(chances_of(model), scans_of(model))
    assert list(solve(model, told, tmp_path / "one", range(3), seed=1)) == [0, 1, 2]
    for part in (1, 0):
        list(solve(model, told, tmp_path / "two", range(part, 3, 2), seed=1))
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    # What is there is not made again.
    (tmp_path / "two" / files[0]).write_bytes(b"kept")
    list(solve(model, told, tmp_path / "two", range(3), seed=1))
    assert (tmp_path / "two" / files[0]).read_bytes() == b"kept"
    with pytest.raises(DamagedError, match=r"000000\.npz is damaged"):
        StoredSolutions(tmp_path / "two").read()
    solutions = StoredSolutions(tmp_path / "one")
    solutions.read()
    assert len(solutions) == 3 * BLOCK
    states, cond = solutions.take(np.array([5, 41]))
    *_, end = sample_ode(
        model.flow_map, states[:, 0], cond=cond, method="heun", times=solutions.times
    )
    assert relative_error(states[:, -1], end) < 5e-3
    # Twin: told something else, it ends elsewhere.
    other = replace(cond, category=1 - cond.category.clamp(min=0))
    *_, end = sample_ode(
        model.flow_map, states[:, 0], cond=other, method="heun", times=solutions.times
    )
    assert relative_error(states[:, -1], end) > 2e-2


@pytest.mark.slow
def test_a_fit_brings_jumps_nearer_and_leaves_the_field(tmp_path):
    model = told_model()
    told = Told(chances_of(model))
    list(solve(model, told, tmp_path, range(14), seed=1))
    solutions = StoredSolutions(tmp_path)
    solutions.read()
    before = lag(model.flow_map, model, solutions)

    fit = Fit(model, solutions, Steps(150, time.monotonic()), 32, 2e-3, 1.0, seed=0)
    states, cond = solutions.take(np.arange(HELD_OUT))
    t = torch.full((HELD_OUT,), 0.5)
    velocity = fit.teacher.velocity(states[:, 3], t, cond)
    assert fit.run(lambda step, loss: None) == 150
    kept = fit.kept()
    after = lag(kept.flow_map, kept, solutions)
    assert all(after[steps] < 0.9 * before[steps] for steps in (1, 2, 4)), (before, after)
    moved = relative_error(kept.flow_map.velocity(states[:, 3], t, cond), velocity)
    assert moved < 0.2
    # Half of the way.
    fit.share = 0.5
    half, weights = (
        fit.kept().flow_map,
        zip(kept.flow_map.parameters(), fit.teacher.parameters(), strict=True),
    )
    for found, (fitted, was) in zip(half.parameters(), weights, strict=True):
        torch.testing.assert_close(found, 0.5 * (fitted + was))


@pytest.mark.slow
def test_the_commands_go_on_and_write_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr("geoflow_tools.fit_jumps.__main__.Clock", Steps)
    model = told_model()
    model.save_pretrained(tmp_path / "start")
    lumps = tmp_path / "meshes" / "lump"
    lumps.mkdir(parents=True)
    names = [f"lump/{i}.obj" for i in range(3)]
    for i, name in enumerate(names):
        trimesh.creation.icosphere(subdivisions=2, radius=1 + i).export(lumps.parent / name)
    splits = dict.fromkeys(names, "train")
    (lumps.parent / "splits.json").write_text(json.dumps(splits))
    assert pack(tmp_path / "meshes", tmp_path / "packed") == []
    asked = {"out": tmp_path / "out", "model": str(tmp_path / "start")}
    ScansOptions(
        meshes=tmp_path / "packed", num=64, num_meshes=2, procedural=8, universe=13, assemblies=1,
        **asked,
    ).run()  # fmt: skip
    scans = Encoded.load(tmp_path / "out" / "scans.npz")
    assert len(scans.tokens) == len(scans.category) > 0
    assert scans.tokens.float().std() == pytest.approx(1.0, rel=0.9)
    SolveOptions(num=HELD_OUT + 2 * BLOCK, **asked).run()
    FitOptions(seconds=30, batch=8, learning_rate=2e-3, **asked).run()
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["step"] == 0
    assert set(lines[-1]["lag"]) == {"1", "2", "4"}
    made = load(tmp_path / "out" / "model")
    assert made.card["jumps"]["solutions"] == HELD_OUT + 2 * BLOCK
    start = load(tmp_path / "start").modules()
    assert networks_apart(made, load(tmp_path / "start")) == {"flow"}
    # Another fit goes on from there, towards the same solutions, and from no other network.
    again = {**asked, "begin_from": str(tmp_path / "out" / "model"), "seconds": 0, "batch": 8}
    FitOptions(share=1.0, **again).run()
    found = load(tmp_path / "out" / "model").modules()["flow"].state_dict()
    begun = made.modules()["flow"].state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in found.items())
    assert any((value != start["flow"].state_dict()[name]).any() for name, value in found.items())
    with pytest.raises(SystemExit, match="its flow map is not that of"):
        FitOptions(**{**again, "begin_from": "chair"}).run()
