"""Networks that are fused while a loss is computed: when, what it changes, and what it leaves."""

import json
from dataclasses import replace

import pytest
import torch
from command import geoflow
from tiny_models import tiny_models

from geoflow.training import fusing as room
from geoflow.training.fusing import COMPILING, Fused, can_compile, fusing
from geoflow.training.run import Run, RunConfig, read_config
from geoflow.training.stage import Fusible, StageOptions
from geoflow.training.stages.distribution import DistributionTraining
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.latent_flow import FlowTraining
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_datasets import load

LONG, SHORT = 2_000, 1_999


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


def test_what_gains_nothing_is_not_compiled_when_asked(tmp_path):
    mesh = tmp_path / "mesh.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    told = geoflow(
        "train", "--kind", "distribution", "--data", mesh, "--compile", "on",
        "--out", tmp_path / "run", "--no-progress",
    )  # fmt: skip
    assert told.returncode == 2
    assert "--compile on: nothing of kind distribution gains by it" in told.stderr
    assert not (tmp_path / "run").exists()


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
