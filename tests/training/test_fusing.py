"""Networks that are fused while a loss is computed: when, what it changes, and what it leaves."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from command import geoflow
from tiny_models import tiny_models

from geoflow.models.kinds import KINDS
from geoflow.training import fusing as room
from geoflow.training.ema import Ema
from geoflow.training.fusing import COMPILING, Fused, can_compile, fusing
from geoflow.training.run import Run, RunConfig, read_config
from geoflow.training.stage import Context, Fusible, StageOptions
from geoflow.training.stages.distribution import DistributionTraining
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.latent_flow import FlowTraining, LatentFlowStage
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_datasets import load

LONG, SHORT = 4_000, 3_999
BLOCKS = 3


@pytest.fixture
def compiler(monkeypatch):
    """Lets a test say whether there is one."""

    def say(there):
        monkeypatch.setattr(room, "can_compile", lambda: there)

    return say


@pytest.mark.parametrize(
    ("options", "device", "there", "fused"),
    [
        (AutoencoderTraining(steps=LONG), "cpu", True, False),
        (FlowTraining(steps=LONG), "cpu", True, True),
        (FlowTraining(steps=SHORT), "cpu", True, False),
        (FlowTraining(steps=LONG), "cuda", True, False),
        (FlowTraining(steps=LONG), "cpu", False, False),
        (FlowTraining(steps=1, compile=True), "cpu", False, True),
        (FlowTraining(steps=LONG, compile=False), "cpu", True, False),
        (VolumeFlowTraining(steps=LONG), "cpu", True, False),
        (DistributionTraining(steps=LONG), "cpu", True, False),
    ],
    ids=["autoencoder", "flow", "short", "gpu", "none", "asked", "refused", "volumes", "others"],
)
def test_long_stages_of_small_operations_are_fused_where_that_works(
    compiler, options, device, there, fused
):
    compiler(there)
    assert fusing(options, device) == replace(options, compile=fused)


@pytest.mark.parametrize(
    "error", [RuntimeError("no g++"), OSError("denied"), ImportError("triton")]
)
def test_without_a_compiler_networks_run_as_they_are_written(monkeypatch, error):
    def refuse(_):
        def fail(_):
            raise error

        return fail

    monkeypatch.setattr(torch, "compile", refuse)
    can_compile.cache_clear()
    assert not can_compile()
    assert not fusing(FlowTraining(steps=LONG), "cpu").compile
    can_compile.cache_clear()


def test_a_run_keeps_what_it_began_with(tmp_path, compiler):
    """Those of before there was a choice go on without."""
    compiler(True)
    model = tiny_models()["sdf"].config
    stages = {"autoencoder": AutoencoderTraining(steps=3), "flow": FlowTraining()}
    Run.create(tmp_path, RunConfig(kind="sdf", model=model, stages=stages))
    compiler(False)
    kept = read_config(tmp_path).stages
    assert (kept["autoencoder"].compile, kept["flow"].compile) == (False, True)
    content = json.loads((tmp_path / "run.json").read_text())
    del content["stages"]["flow"]["compile"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert not read_config(tmp_path).stages["flow"].compile


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What `geoflow train --compile on` says of a kind, whose data cannot be made."""

    def say(kind, *more):
        def fail(*_, **__):
            raise ValueError("data are made")

        monkeypatch.setattr(KINDS[kind].on("geoflow_cli.kinds"), "load", fail)
        run = tmp_path / "run"
        told = geoflow("train", "--kind", kind, "--compile", "on", "--out", run, *more)
        assert (told.returncode, told.stdout) == (2, "")
        assert not run.exists()
        (line,) = told.stderr.splitlines()
        return line

    return say


def test_what_gains_nothing_is_refused_before_any_data_are_made(tmp_path, asked):
    mesh = tmp_path / "mesh.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    for kind, *more in (("joints",), ("shapes",), ("distribution", "--data", mesh)):
        assert f"--compile on: nothing of kind {kind} gains by it" in asked(kind, *more)
    # The twin: others go on.
    for kind in ("sdf", "points"):
        assert "data are made" in asked(kind)


def test_modules_are_fused_inside_alone(monkeypatch):
    """Whatever ends it, an error included; what is saved never sees it."""
    monkeypatch.setattr(torch, "compile", lambda forward, **_: lambda x: forward(x) + 1)
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    names, plain = list(layer.state_dict()), layer(x)
    fused = Fused([Fusible(layer)])
    for _ in range(2):
        with fused:
            assert torch.equal(layer(x), plain + 1)
        with pytest.raises(RuntimeError, match="shapes"), fused:
            layer(torch.ones(1, 3))
        assert torch.equal(layer(x), plain)
    assert list(layer.state_dict()) == names


def test_stages_say_what_may_be_fused():
    assert not StageOptions.fuses
    assert not AutoencoderTraining.fuses
    assert FlowTraining.fuses


def flow_stage():
    """A stage of a tiny flow map of a few blocks, and its moving average."""
    model = tiny_models()["sdf"]
    transformer = replace(model.config.transformer, blocks=BLOCKS)
    model = type(model).build(replace(model.config, transformer=transformer))
    stage = LatentFlowStage(FlowTraining(), Context(model, None))
    stage.average = Ema(stage.module, 0.9)
    return stage


def test_the_flow_fuses_blocks_of_its_map_and_of_the_average():
    """The average gives targets to parts of batches, which are of many sizes."""
    stage = flow_stage()
    mine, average = stage.module.backbone.blocks, stage.slow.backbone.blocks
    assert len(mine) == len(average) == BLOCKS
    parts = stage.fusible()
    assert [id(part.module) for part in parts] == [id(block) for block in (*mine, *average)]
    assert [part.varies for part in parts] == [False] * BLOCKS + [True] * BLOCKS


# What torch.compile makes is tried without checks of shapes.


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return load("procedural", "bottle", split="train", num=6, cache=tmp_path_factory.mktemp("bank"))


def trained(folder, bank, *, compiled, objective="shortcut", stop=None):
    """Losses of a run, and what it said to make first; up to a stage's step, if that is given."""
    stages = {
        "autoencoder": AutoencoderTraining(
            steps=4, batch=4, num_surface=32, num_queries=64, bf16=False, compile=False
        ),
        "flow": FlowTraining(
            steps=4, batch=8, num_surface=32, objective=objective, bf16=False, compile=compiled,
            diagonal_first=0.5,
        ),
    }  # fmt: skip
    model = tiny_models()["sdf"].config
    run = Run.create(folder, RunConfig(kind="sdf", model=model, stages=stages, checkpoint_every=2))
    said = []
    losses = []
    for progress in run.train(bank, {}, watch=lambda *what: said.append(what)):
        losses.append(progress.loss)
        if (progress.stage, progress.step) == stop:
            break
    return torch.tensor(losses), said


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("objective", ["shortcut", "mean-flow"])
def test_fused_trainings_are_those_as_written(tmp_path, bank, objective):
    """Forward-mode derivatives, which compiled networks have not, are taken of the written ones."""
    plain, _ = trained(tmp_path / "plain", bank, compiled=False, objective=objective)
    fused, said = trained(tmp_path / "fused", bank, compiled=True, objective=objective)
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)
    assert said.count((COMPILING, 0, 1)) == said.count((COMPILING, 1, 1)) == 1


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_fused_run_that_was_killed_goes_on_to_the_same_bits(tmp_path, bank):
    whole, _ = trained(tmp_path / "whole", bank, compiled=True)
    trained(tmp_path / "broken", bank, compiled=True, stop=("flow", 3))
    rest = [progress.loss for progress in Run.open(tmp_path / "broken").train(bank, {})]
    assert rest == whole[-len(rest) :].tolist()
    assert rest


@pytest.fixture
def graphs(monkeypatch):
    """A count of what was compiled until now; what is made of it does not matter."""
    from torch._dynamo.utils import counters

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]
    torch.compiler.reset()


def ask(network, *, num):
    """Each block of a flow map, about the same `num` states."""
    size = network.backbone.config
    s = torch.randn(num, size.num_tokens, size.width)
    v = torch.randn(num, size.num_tokens, size.vector_width, 3)
    frame, modulation = torch.randn(num, size.frame_size, 3), torch.randn(num, 6 * size.width)
    for block in network.backbone.blocks:
        block(s, v, frame, modulation)


@pytest.mark.compile
def test_blocks_of_one_size_are_compiled_once(graphs):
    """Those of the average for any number of states."""
    stage = flow_stage()
    with Fused(stage.fusible()):
        ask(stage.module, num=11)
        assert graphs() == 1
        with torch.no_grad():
            for num in (11, 7, 17):
                ask(stage.slow, num=num)
                assert graphs() == 2


@pytest.mark.compile
def test_blocks_of_two_sizes_are_compiled_twice(graphs):
    stage = flow_stage()
    stage.module.backbone.blocks[1].heads = 1
    with Fused(stage.fusible()):
        ask(stage.module, num=11)
    assert graphs() == 2
