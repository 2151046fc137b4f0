"""A decoder that goes on alone: its fields come nearer, latents stay to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from killed_run import assert_goes_on_to_the_same_bits
from tiny_models import tiny_models

from geoflow.backbones.field_codec import SurfacePoints
from geoflow.models.kinds import load as load_model
from geoflow.seeds import step_generator
from geoflow.training.loop import fit
from geoflow.training.optimisation import Schedule
from geoflow.training.run import Run, RunConfig
from geoflow.training.stage import Context
from geoflow.training.stages.scans import ScanOptions
from geoflow.training.stages.volume_autoencoder import VolumeTraining
from geoflow.training.stages.volume_decoder import VolumeDecoderStage, VolumeDecoderTraining
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_cli import main
from geoflow_datasets import load

NAMES = ("blob", "pebble")
OPTIONS = VolumeDecoderTraining(
    steps=6, batch=2, num_surface=40, num_queries=32, bf16=False,
    scans=ScanOptions(fewest=24, most=48, dense=0),
)  # fmt: skip
CONFIG = RunConfig(
    kind="shapes",
    model=None,
    stages={
        "autoencoder": VolumeTraining(steps=0),
        "flow": VolumeFlowTraining(steps=0),
        "decoder": OPTIONS,
    },
    checkpoint_every=2,
)


def model_of(residual=0):
    model = tiny_models()["shapes"]
    if residual:
        torch.manual_seed(0)
        model.autoencoder.learn_to_mend(residual)
        model.config = replace(model.config, autoencoder=model.autoencoder.config)
    return model


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    made = load(
        "procedural", "bottle,mug", split="train", num=6, cache=tmp_path_factory.mktemp("bank")
    )
    return replace(made, category_names=NAMES)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "model"
    model_of().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(bank, start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    config = replace(CONFIG, model=model_of().config, init_from=str(start))
    list(Run.create(folder, config).train(bank))
    return folder, config


def test_a_killed_run_ends_with_the_same_bits(bank, trained, tmp_path):
    folder, config = trained
    assert_goes_on_to_the_same_bits(folder, config, bank, tmp_path / "killed")


def test_latents_stay_and_their_fields_move(start, trained):
    before, after = load_model(start), load_model(trained[0])
    first = before.sample_latents(before.noise(2, seed=3), before.condition(2), steps=2)
    again = after.sample_latents(after.noise(2, seed=3), after.condition(2), steps=2)
    assert torch.equal(first, again)
    points = torch.rand(1, 50, 3) - 0.5
    normals = torch.nn.functional.normalize(points, dim=-1)
    assert torch.equal(before.encode(points, normals), after.encode(points, normals))
    where = torch.rand(50, 3) * 2 - 1
    assert not torch.equal(before.field(first[0])(where), after.field(first[0])(where))


def test_the_decoder_alone_learns_and_what_mends_stays(bank):
    schedule = Schedule(learning_rate=5e-3)
    options = replace(
        OPTIONS, steps=60, batch=4, num_queries=256, ema=0.9, whole=1.0, schedule=schedule
    )
    stage = VolumeDecoderStage(options, Context(model_of(residual=8), bank))
    others = {name: p.clone() for name, p in stage.module.state_dict().items()}
    losses = [progress.loss for progress in fit(stage)]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])
    for name, p in stage.module.state_dict().items():
        learns = name.startswith("decoder.") and ".residual." not in name
        assert torch.equal(p, others[name]) != learns, name
    assert all(weight.requires_grad for weight in stage.module.parameters())
    points = torch.rand(1, 50, 3) - 0.5
    surface = SurfacePoints(points, torch.nn.functional.normalize(points, dim=-1))
    field = stage.model.field(stage.model.encode(*surface[:2])[0], through=surface)
    assert field(torch.rand(9, 3)).isfinite().all()


def test_shapes_are_whole_or_scanned_and_read_as_the_first_decoder_says(bank):
    whole = VolumeDecoderStage(replace(OPTIONS, whole=1.0), Context(model_of(), bank))
    generators = [step_generator(0, "test", 1) for _ in range(2)]
    seen = whole.batch(generators[0])
    # Points that are read again ask the field, and that of the start whatever the decoder is now.
    with torch.no_grad():
        whole.part.out.bias += 1.0
    assert torch.equal(whole.batch(generators[1]).tokens, seen.tokens)
    scanned = VolumeDecoderStage(replace(OPTIONS, whole=0.0), Context(model_of(), bank))
    other = scanned.batch(step_generator(0, "test", 1))
    assert not torch.equal(other.tokens, seen.tokens)
    assert seen.queries.shape == other.queries.shape == (2, 32, 3)


def test_a_decoder_that_got_worse_is_put_back(bank):
    model = model_of()
    before = {name: value.clone() for name, value in model.autoencoder.state_dict().items()}
    options = replace(OPTIONS, steps=4, ema=0.1, schedule=Schedule(learning_rate=0.9, warmup=1))
    stage = VolumeDecoderStage(options, Context(model, bank, held_out=bank, is_fresh=False))
    list(fit(stage))
    assert "is kept" in stage.said
    after = model.autoencoder.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_number_of_steps_below_zero_is_refused(tmp_path, capsys):
    args = ["train", "--kind", "shapes", "--decoder-steps", "-1", "--out", str(tmp_path / "run")]
    assert main(args) == 2
    assert "--decoder-steps must be at least 0, got -1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_adds_the_stage(start, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFLOW_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    args = ["train", "--kind", "shapes", "--shape-category", "mug", "--num-shapes", "4"]
    args += ["--data", "procedural", "--init-from", str(start), "--autoencoder-steps", "0"]
    assert main([*args, "--flow-steps", "0", "--decoder-steps", "2", "--out", str(run)]) == 0
    before, after = load_model(start).autoencoder, load_model(run).autoencoder
    assert not torch.equal(before.decoder.out.weight, after.decoder.out.weight)
    assert torch.equal(before.encoder.position, after.encoder.position)
