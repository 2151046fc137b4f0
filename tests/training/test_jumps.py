"""Jumps of a distribution fitted to whole solutions of its own ODE."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.models.checkpoint import CheckpointError, load_checkpoint
from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.oracles.gaussian import GaussianField
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow.seeds import step_generator
from geoflow.testing import relative_error
from geoflow.training.loop import fit
from geoflow.training.optimisation import Schedule
from geoflow.training.run import DataConfig, Run, RunConfig, read_config
from geoflow.training.stage import Context
from geoflow.training.stages.distribution import DistributionTraining
from geoflow.training.stages.jumps import JumpStage, JumpTraining
from geoflow_cli import main
from geoflow_cli.kinds.distribution import Train
from geoflow_cli.kinds.one_network import model_and_stage

CELLS = [("ve", "x1"), ("linear", "u"), ("linear", "x1")]
SMALL = JumpTraining(steps=100, solutions=64, solver_steps=24)


def model_of(interpolant, prediction, field=None):
    torch.manual_seed(0)
    config = DistributionConfig(
        interpolant=interpolant, prediction=prediction, width=32, blocks=1, octaves=1
    )
    model = GeometryDistribution.build(config)
    if field is None:
        return model
    flow_map = FlowMap(field, model.flow_map.interpolant, prediction)
    return replace(model, flow_map=flow_map)


def gaussian(interpolant, prediction):
    """A flow map that is known: of N(0, diag(0.2, 1, 2)^2)."""
    std, path = torch.tensor([0.2, 1.0, 2.0]), INTERPOLANTS[interpolant]()
    return GaussianField(torch.zeros(3), std, path, prediction)


def prepared(model, options=SMALL):
    stage = JumpStage(options, Context(model, None))
    stage.prepare()
    return stage


@pytest.mark.parametrize(("interpolant", "prediction"), CELLS)
def test_the_exact_map_of_an_ode_fits_its_solutions(interpolant, prediction):
    field = gaussian(interpolant, prediction)
    stage = prepared(model_of(interpolant, prediction, field), replace(SMALL, solver_steps=192))
    generator = step_generator(0, "test", 0)
    batch = stage.batch(generator)
    losses = stage.loss(batch, 0, generator)
    assert losses.total.median() < 1e-4
    # The diagonal of a map that is the teacher's own is off by nothing.
    assert losses.terms["diagonal"].max() < 1e-8
    # Twin: of data that are a tenth wider.
    field.std.mul_(1.1)
    assert stage.loss(batch, 0, generator).total.median() > 100 * losses.total.median()


@pytest.mark.parametrize(("interpolant", "prediction"), CELLS)
def test_pairs_are_of_one_solution_and_mostly_of_samples_jumps(interpolant, prediction):
    model = model_of(interpolant, prediction)
    stage = prepared(model, replace(SMALL, batch=4096))
    batch = stage.batch(step_generator(0, "test", 0))
    assert bool((batch.t < batch.r).all())
    assert batch.t.min() == 0
    assert batch.r.max() == 1
    # Where a solution is at one time of a pair it is at the other.
    times, states = stage._solutions.times, stage._solutions.states
    i, j = torch.searchsorted(times, batch.t), torch.searchsorted(times, batch.r)
    for row in range(0, 4096, 512):
        (of,) = (states[i[row]] == batch.start[row]).all(1).nonzero()
        assert torch.equal(states[j[row], of[0]], batch.end[row])
    of_two = model.config.grid(2).float()
    is_of_two = ((batch.t == 0) & (batch.r == of_two[1])) | (batch.t == of_two[1]) & (batch.r == 1)
    assert is_of_two.float().mean().item() == pytest.approx(0.35, abs=0.04)
    is_whole = (batch.t == 0) & (batch.r == 1)
    assert is_whole.float().mean().item() == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(("interpolant", "prediction"), CELLS[:2])
def test_jumps_come_nearer_to_the_ode_which_stays(interpolant, prediction):
    """A network that is random has a field, and a map that knows nothing of it."""
    model = model_of(interpolant, prediction)
    for parameter in model.flow_map.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    noise = torch.randn(500, 3, generator=torch.Generator().manual_seed(5))

    def ends(flow_map):
        with torch.no_grad():
            times = model.config.grid(48).float()
            *_, ode = sample_ode(flow_map, noise, method="heun", times=times)
            grid = model.config.grid(2)
            *_, two = sample_flow_map(flow_map, noise, times=grid)
        return two, ode

    before, truth = ends(model.flow_map)
    schedule = Schedule(learning_rate=3e-3)
    options = replace(SMALL, steps=250, batch=256, solutions=1024, ema=0.98, schedule=schedule)
    stage = JumpStage(options, Context(model, None))
    list(fit(stage))
    after, kept = ends(model.flow_map)
    assert relative_error(after, truth) < 0.5 * relative_error(before, truth)
    assert relative_error(kept, truth) < 0.3 * relative_error(before, truth)


def test_short_runs_ask_fewer_solutions():
    model = model_of("ve", "x1")
    for steps, expected in ((1, 8), (3, 24), (10_000, 64)):
        stage = prepared(model, replace(SMALL, steps=steps, batch=256))
        assert stage._solutions.states.shape[1] == expected


def config(**stages):
    return RunConfig(
        kind="distribution",
        data=DataConfig("box.ply"),
        model=DistributionConfig(width=32, blocks=1),
        stages={"distribution": DistributionTraining(steps=4, batch=32)} | stages,
        checkpoint_every=2,
    )


def draw(num, generator):
    return torch.nn.functional.normalize(torch.randn(num, 3, generator=generator), dim=1)


def weights(folder):
    return load_checkpoint(folder / "model" / "model.safetensors")[0]


def test_a_run_that_is_killed_while_jumps_are_fitted_goes_on_to_the_same_bits(tmp_path):
    options = config(jumps=replace(SMALL, steps=6, batch=32))
    list(Run.create(tmp_path / "whole", options).train(draw))
    # After the first stage, and after a checkpoint of the second.
    for stop in (4, 4 + 3):
        killed = tmp_path / str(stop)
        list(islice(Run.create(killed, options).train(draw), stop))
        progress = list(Run.open(killed).train(draw))
        assert [step.stage for step in progress] == ["jumps"] * len(progress)
        whole, resumed = weights(tmp_path / "whole"), weights(killed)
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    # Twin: what was trained before is what another run without the stage keeps, and another map.
    list(Run.create(tmp_path / "plain", config()).train(draw))
    plain = weights(tmp_path / "plain")
    assert torch.equal(plain["scale.std"], whole["scale.std"])
    assert not all(torch.equal(plain[name], whole[name]) for name in plain)


def test_a_run_of_an_earlier_version_has_no_such_stage(tmp_path):
    Run.create(tmp_path / "old", config())
    assert list(read_config(tmp_path / "old").stages) == ["distribution"]
    content = config(jumps=SMALL).to_json()
    assert list(RunConfig.from_json(content).stages) == ["distribution", "jumps"]
    del content["stages"]["distribution"]
    with pytest.raises(ValueError, match="stages must be distribution, and may be jumps, got"):
        RunConfig.from_json(content)
    content["stages"] = {"distribution": {}, "jump": {}}
    with pytest.raises(ValueError, match="stages must be distribution, and may be jumps, got"):
        RunConfig.from_json(content)
    (tmp_path / "old" / "run.json").unlink()
    with pytest.raises(CheckpointError):
        Run.open(tmp_path / "old")


def test_flow_matching_alone_has_no_jumps_and_others_a_fifth_of_the_steps():
    for words, expected in (
        ({}, {"distribution": 5_000, "jumps": 1_000}),
        ({"steps": 3}, {"distribution": 3, "jumps": 1}),
        ({"objective": "flow-matching"}, {"distribution": 5_000}),
    ):
        _, stages = model_and_stage(Train(data="box.ply", **words), interpolant="ve")
        assert {name: stage.steps for name, stage in stages.items()} == expected


def test_training_says_that_it_solves(tmp_path, capsys):
    import trimesh

    trimesh.creation.box().export(tmp_path / "box.ply")
    words = ["train", "--kind", "distribution", "--data", str(tmp_path / "box.ply"), "--steps", "2",
             "--out", str(tmp_path / "run"), "--sheet-every", "0", "--device", "cpu"]  # fmt: skip
    assert main(words) == 0
    assert "solving the ODE" in capsys.readouterr().out
    assert (tmp_path / "run" / "jumps.safetensors").is_file()
