"""Fields on volumes that learn to be mended beside points; all else stays to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from killed_run import assert_goes_on_to_the_same_bits
from tiny_models import tiny_models

from geoflow.backbones.field_codec import SurfacePoints
from geoflow.geometry.metrics import is_watertight
from geoflow.models.base import describe
from geoflow.models.completion import answer, complete, prepare
from geoflow.models.kinds import load as load_model
from geoflow.seeds import step_generator
from geoflow.training.loop import fit
from geoflow.training.optimisation import Schedule
from geoflow.training.run import Run, RunConfig
from geoflow.training.stage import Context
from geoflow.training.stages.scans import ScanOptions, distinct
from geoflow.training.stages.volume_autoencoder import VolumeAutoencoderStage, VolumeTraining
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow.training.stages.volume_residual import VolumeResidualStage, VolumeResidualTraining
from geoflow_cli import main
from geoflow_datasets import load
from geoflow_viewer.completing import Completed
from geoflow_viewer.items import Rung
from geoflow_viewer.state import State
from geoflow_viewer.worker import Ticket

NAMES = ("blob", "pebble")
OPTIONS = VolumeResidualTraining(
    steps=6, batch=2, num_queries=32, width=8, bf16=False,
    scans=ScanOptions(fewest=24, most=48, dense=0),
)  # fmt: skip
CONFIG = RunConfig(
    kind="shapes",
    model=None,
    stages={
        "autoencoder": VolumeTraining(steps=0),
        "flow": VolumeFlowTraining(steps=0),
        "residual": OPTIONS,
    },
    checkpoint_every=2,
)
BALL = trimesh.creation.icosphere(subdivisions=2, radius=0.6)


def model_of():
    return tiny_models()["shapes"]


def ball(num=100):
    points = torch.from_numpy(np.asarray(BALL.vertices[:num], np.float32))[None]
    return SurfacePoints(points, torch.nn.functional.normalize(points, dim=-1))


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


def test_latents_their_fields_and_samples_stay_as_they_were(start, trained):
    before, after = load_model(start), load_model(trained[0])
    assert (before.mends, after.mends) == (False, True)
    assert describe(trained[0]).model["autoencoder"]["residual"] == 8
    first = before.sample_latents(before.noise(2, seed=3), before.condition(2), steps=2)
    again = after.sample_latents(after.noise(2, seed=3), after.condition(2), steps=2)
    assert torch.equal(first, again)
    where = torch.rand(50, 3) * 2 - 1
    assert torch.equal(before.field(first[0])(where), after.field(first[0])(where))
    points, normals, _ = ball()
    assert torch.equal(before.encode(points, normals), after.encode(points, normals))
    mended = after.field(first[0], through=ball())(where)
    assert not torch.allclose(mended, after.field(first[0])(where))
    with pytest.raises(ValueError, match="did not learn to mend"):
        before.field(first[0], through=ball())
    with pytest.raises(ValueError, match="did not learn to mend"):
        tiny_models()["sdf"].field(torch.randn(4, 7), through=ball())


def test_answers_go_through_the_points_where_they_are_not_told_not_to(start, trained, monkeypatch):
    plain, model = load_model(start), load_model(trained[0])
    points, normals = ball().points[0].numpy() + 3.0, ball().normals[0].numpy()
    monkeypatch.setattr("geoflow.models.completion.FEWEST_BARE", 100)
    for known in (normals, None):
        (mended,) = complete(points, known, model=model, resolution=24)
        (latent,) = complete(points, known, model=model, mend=False, resolution=24)
        (same,) = complete(points, known, model=plain, resolution=24)
        assert is_watertight(mended)
        np.testing.assert_array_equal(latent.vertices, same.vertices)
        assert mended.vertices.shape != latent.vertices.shape or not np.allclose(
            mended.vertices, latent.vertices, atol=1e-3
        )
    given = prepare(model, points, normals)
    assert torch.equal(given.surface(model).points, given.points)
    assert given.surface(plain) is None
    bare = prepare(model, points, None)
    assert bare.surface(model).normals is None
    # Few points that do not tell the inside leave the field as the latent has it.
    monkeypatch.setattr("geoflow.models.completion.FEWEST_BARE", 101)
    assert bare.surface(model) is None
    assert prepare(model, points, normals, oriented=False).surface(model) is None
    assert given.surface(model).oriented
    two = list(answer(model, given, num=2, steps=1, resolution=16))
    assert all(is_watertight(mesh) for mesh in two)


def test_the_viewer_shows_what_the_command_writes(trained, monkeypatch):
    model = load_model(trained[0])
    points = ball().points[0].double().numpy()
    given = prepare(model, points, ball().normals[0].double().numpy())
    asked = []

    def decode(tokens, *, through, **_):
        asked.append(through)
        return BALL.copy()

    monkeypatch.setattr(model, "decode", decode)
    shown = Completed(model, given, model.encode(given.points, given.normals)[0])
    shown.item(State(cloud="ball"), Rung(16, 64), Ticket())
    model.autoencoder.learn_to_mend(0)
    shown.item(State(cloud="ball"), Rung(16, 64), Ticket())
    assert torch.equal(asked[0].points, given.points)
    assert asked[1] is None


def test_no_point_comes_twice(bank):
    generator = torch.Generator().manual_seed(0)
    drawn = bank.batch(np.arange(3), num_surface=4000, num_queries=4, generator=generator)
    once = distinct(drawn)
    assert 1500 < once.surface.shape[1] < 2048
    for points, normals, every, its in zip(
        once.surface, once.normals, drawn.surface, drawn.normals, strict=True
    ):
        assert len(np.unique(points.numpy(), axis=0)) == len(points)
        # In the order in which they were drawn, each with its own normal.
        assert torch.equal(points[0], every[0])
        row = (every == points[-1]).all(-1).nonzero()[0, 0]
        assert torch.equal(its[row], normals[-1])
    stage = VolumeResidualStage(OPTIONS, Context(model_of(), bank, is_fresh=False))
    for step in range(4):
        seen = stage.batch(step_generator(0, "test", step))
        clean = [points for points in seen.points if len(np.unique(points, axis=0)) == len(points)]
        assert len(clean) == len(seen.points)
        assert 24 <= seen.points.shape[1] <= 48


def test_the_network_alone_learns_and_learns_to_mend(bank):
    options = replace(
        OPTIONS, steps=60, batch=4, num_queries=256, ema=0.9, width=16,
        scans=ScanOptions(fewest=200, most=200, dense=0, bare=0, unoriented=0, noisy=0, cut=0),
    )  # fmt: skip
    stage = VolumeResidualStage(options, Context(model_of(), bank))
    others = {name: p.clone() for name, p in stage.module.state_dict().items()}
    losses = [progress.loss for progress in fit(stage)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    for name, p in stage.module.state_dict().items():
        assert ("residual" in name) or torch.equal(p, others[name])
    assert all(weight.requires_grad for weight in stage.module.parameters())


def test_a_decoder_that_is_tuned_forgets_to_mend(trained, bank):
    model = load_model(trained[0])
    VolumeAutoencoderStage(VolumeTraining(steps=0), Context(model, bank))
    assert model.mends
    VolumeAutoencoderStage(VolumeTraining(steps=1), Context(model, bank))
    assert not model.mends
    assert model.config.autoencoder.residual == 0


@pytest.mark.parametrize(("rate", "kept"), [(0.5, True), (3e-3, False)])
def test_an_autoencoder_that_is_kept_as_it_was_still_mends(trained, bank, rate, kept):
    model = load_model(trained[0])
    before = model.autoencoder.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    options = VolumeTraining(
        steps=4, batch=2, num_queries=64, schedule=Schedule(learning_rate=rate, warmup=1), ema=0.1,
        scans=ScanOptions(fewest=24, most=48, dense=0), bf16=False,
    )  # fmt: skip
    context = Context(model, bank, held_out=bank, is_fresh=False)
    stage = VolumeAutoencoderStage(options, context)
    assert not model.mends
    list(fit(stage))
    assert ("is kept" in stage.said) == kept
    assert model.mends == kept
    assert (model.config.autoencoder.residual > 0) == kept
    if kept:
        after = model.autoencoder.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_number_of_steps_below_zero_is_refused(tmp_path, capsys):
    args = ["train", "--kind", "shapes", "--residual-steps", "-1", "--out", str(tmp_path / "run")]
    assert main(args) == 2
    assert "--residual-steps must be at least 0, got -1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_commands_add_the_stage_and_leave_its_work_out(start, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFLOW_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    args = ["train", "--kind", "shapes", "--shape-category", "mug", "--num-shapes", "4"]
    args += ["--data", "procedural", "--init-from", str(start), "--autoencoder-steps", "0"]
    assert main([*args, "--flow-steps", "0", "--residual-steps", "2", "--out", str(run)]) == 0
    assert load_model(run).mends
    BALL.export(tmp_path / "ball.stl")
    written = []
    for option in ("--mend", "--no-mend"):
        out = tmp_path / f"{option}.obj"
        args = ["complete", str(tmp_path / "ball.stl"), "--resolution", "24", "--out", str(out)]
        assert main([*args, "--model", str(run), option]) == 0
        written.append(out.read_bytes())
    assert written[0] != written[1]
