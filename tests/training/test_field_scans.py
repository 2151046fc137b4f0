"""An encoder of fields that learns to read scans: exact symmetry, true boxes, the same samples."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from killed_run import assert_goes_on_to_the_same_bits
from tiny_models import tiny_models

from geoflow.geometry.metrics import is_watertight
from geoflow.models.base import describe
from geoflow.models.completion import complete, prepare
from geoflow.models.fields import FieldConfig, Generator
from geoflow.models.kinds import load as load_model
from geoflow.models.refinement import outward_normals
from geoflow.seeds import step_generator
from geoflow.testing import random_rotations, rotate_tokens
from geoflow.training.loop import fit
from geoflow.training.run import Run, RunConfig
from geoflow.training.stage import Context
from geoflow.training.stages.field_autoencoder import AutoencoderTraining, FieldAutoencoderStage
from geoflow.training.stages.field_scans import FieldScanStage, FieldScanTraining
from geoflow.training.stages.latent_flow import FlowTraining
from geoflow.training.stages.scans import ScanOptions
from geoflow_cli import main
from geoflow_datasets import load

NAMES = ("blob", "pebble")
CLEAR = ScanOptions(
    fewest=24, most=48, dense=0, bare=0, unoriented=0, noisy=0, outliers=0, uneven=0, cut=0,
    turned=0, shifted=0.02,
)  # fmt: skip
OPTIONS = FieldScanTraining(
    steps=6, batch=4, num_queries=16, scans=replace(CLEAR, bare=0.5, noisy=0.5), bf16=False
)


def model_of():
    return tiny_models()["sdf"]


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    made = load(
        "procedural", "bottle,mug", split="train", num=6, cache=tmp_path_factory.mktemp("bank")
    )
    return replace(made, category_names=NAMES)


def stage_of(bank, options=OPTIONS):
    return FieldScanStage(options, Context(model_of(), bank, is_fresh=False))


def drawn(stage, step=0):
    return stage.batch(step_generator(0, "test", step))


@torch.no_grad()
def error_of_boxes(stage):
    generator = step_generator(0, "unused", 0)
    found = [stage.loss(drawn(stage, i), 0, generator).terms["box"].mean() for i in range(4)]
    return float(sum(found) / len(found))


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_tokens_and_boxes_turn_and_move_with_the_points(bare, seed):
    model = model_of()
    model.read_scans()
    encoder = model.autoencoder.double().scan_encoder
    with torch.no_grad():
        for weight in (*encoder.box_size.parameters(), *encoder.box_centre.parameters()):
            weight.normal_(generator=torch.Generator().manual_seed(seed))
    g = torch.Generator().manual_seed(seed)
    points = torch.randn(2, 40, 3, generator=g, dtype=torch.float64)
    normals = torch.nn.functional.normalize(torch.randn(2, 40, 3, generator=g).double(), dim=-1)
    normals = None if bare else normals
    frame, centre = torch.eye(3, dtype=torch.float64).expand(2, 3, 3), torch.zeros(2, 3).double()
    turn = random_rotations(1, generator=g, dtype=torch.float64)[0]
    shift = torch.randn(3, generator=g, dtype=torch.float64)
    order = torch.randperm(40, generator=g)
    tokens, box = encoder.with_box(points, normals, frame, centre)
    moved = (points @ turn.T + shift)[:, order]
    turned = None if bare else (normals @ turn.T)[:, order]
    other, its_box = encoder.with_box(moved, turned, frame @ turn.T, centre + shift)
    turns, scalars = turn.expand(2, 3, 3), encoder.config.scalars
    torch.testing.assert_close(other, rotate_tokens(tokens, turns, scalars=scalars))
    torch.testing.assert_close(its_box.centre, box.centre @ turn.T + shift)
    torch.testing.assert_close(its_box.half, box.half)
    # Twins: the box is not that of the points, and depends on them.
    assert (box.half - 1).abs().min() > 1e-4
    assert box.centre.norm(dim=-1).min() > 1e-4
    assert (box.half[0] - box.half[1]).abs() > 1e-6


def test_an_encoder_that_has_learnt_nothing_tells_the_box_of_the_points():
    model = model_of()
    assert model.box(torch.randn(2, 30, 3)) is None
    model.read_scans()
    box = model.box(torch.randn(2, 30, 3))
    assert torch.equal(box.centre, torch.zeros(2, 3))
    assert torch.equal(box.half, torch.ones(2))


def test_clean_points_are_read_as_before_and_bare_ones_as_with_normals_of_length_zero():
    model = model_of()
    points, normals = torch.randn(2, 2, 30, 3)
    before = model.encode(points, normals)
    with pytest.raises(ValueError, match="trained with outward normals alone"):
        model.encode(points)
    assert torch.equal(model.encode(points, normals, scanned=True), before)
    model.read_scans()
    with torch.no_grad():
        for weight in model.autoencoder.scan_encoder.parameters():
            weight.mul_(1.1)
    assert torch.equal(model.encode(points, normals), before)
    bare = model.encode(points)
    assert torch.equal(bare, model.encode(points, torch.zeros_like(points), scanned=True))
    assert torch.equal(bare, model.encode(points, normals, oriented=False))
    as_scan = model.encode(points, normals, scanned=True)
    assert not torch.allclose(as_scan, before)
    assert not torch.allclose(as_scan, bare)
    again = model.autoencoder.scan_encoder
    model.read_scans()
    assert model.autoencoder.scan_encoder is again
    model.forget_scans()
    assert torch.equal(model.encode(points, normals), before)
    assert not model.reads_bare_points


def test_boxes_need_a_frame():
    config = FieldConfig.build(symmetry="so3", categories=("blob",))
    with pytest.raises(ValueError, match="symmetry must be frame, got so3"):
        Generator.build(config).read_scans()
    with pytest.raises(ValueError, match="turned must be 0, got"):
        FieldScanTraining(scans=ScanOptions(turned=0.5))


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_scans_clean_points_queries_and_boxes_stand_in_one_place(bank, own):
    stage = stage_of(bank, replace(OPTIONS, scans=CLEAR, own_box=own))
    for step in range(3):
        lesson = drawn(stage, step)
        seen = lesson.scan
        # All of them are points of one surface.
        away = torch.cdist(seen.points, lesson.clean).amin(2)
        assert away.median() < 0.05
        relative = (lesson.clean - lesson.box.centre[:, None]) / lesson.box.half[:, None, None]
        assert ((relative.abs().amax((1, 2)) - 1).abs() < 0.05).all()
        assert lesson.is_own.all() == bool(own)
        # A query of distance d has no point of the surface nearer than that.
        nearest = torch.cdist(seen.queries, lesson.clean).amin(2)
        assert (nearest - seen.sdf.abs()).min() > -0.02
        low, high = seen.points.amin(1), seen.points.amax(1)
        unit = ((high - low).amax(1) - 2).abs()
        assert (unit < 1e-5).all() if own else (unit > 1e-3).any()
        if own:
            # Twin: their own box is not the surface's.
            assert (lesson.box.half - 1).abs().max() > 1e-3


@pytest.mark.slow
def test_the_encoder_learns_the_box_and_the_rest_nothing(bank):
    options = replace(OPTIONS, steps=150, batch=8, latent_first=0.5, own_box=1.0, ema=0.9)
    stage = stage_of(bank, options)
    parts = stage.module.encoder, stage.module.decoder
    others = [copy.deepcopy(part.state_dict()) for part in parts]
    before = error_of_boxes(stage)
    terms = [set(progress.terms) for progress in fit(stage)]
    assert terms[0] == {"latent", "box"}
    assert terms[-1] == {"latent", "box", "distance", "sign"}
    assert error_of_boxes(stage) < 0.9 * before
    parts = stage.module.encoder, stage.module.decoder
    for part, before in zip(parts, others, strict=True):
        now = part.state_dict()
        assert all(torch.equal(now[name], value) for name, value in before.items())
    assert all(weight.requires_grad for weight in stage.module.parameters())


def test_bare_points_are_read_again_with_the_normals_of_the_answer(bank, monkeypatch):
    stage = stage_of(bank, replace(OPTIONS, recycle=2))
    lessons = [drawn(stage, step) for step in range(40)]
    assert {lesson.recycle for lesson in lessons if not lesson.scan.oriented} == {0, 1, 2}
    assert {lesson.recycle for lesson in lessons if lesson.scan.oriented} == {0}
    once = stage_of(bank, replace(OPTIONS, recycle=0))
    assert {drawn(once, step).recycle for step in range(40)} == {0}
    lesson = next(lesson for lesson in lessons if lesson.recycle == 2)
    read, encoder = [], stage.module.scan_encoder
    plain = encoder.with_box

    def watched(points, normals, frame, centre):
        tokens, box = plain(points, normals, frame, centre)
        read.append((normals, tokens))
        return tokens, box

    monkeypatch.setattr(encoder, "with_box", watched)
    stage.loss(lesson, 0, step_generator(0, "unused", 0)).total.sum().backward()
    (bare, first), (own, _), (again, last) = read
    assert bare is None
    torch.testing.assert_close(own.norm(dim=-1), torch.ones(own.shape[:2]))
    assert not torch.allclose(again, own)
    frame = torch.eye(3).expand(len(own), 3, 3)
    expected = outward_normals(stage.module, first, lesson.scan.points, None, frame)
    torch.testing.assert_close(own, expected)
    # The last answer alone is learnt from.
    assert not first.requires_grad
    assert last.requires_grad
    assert not again.requires_grad
    assert encoder.to_scalars[1].weight.grad.abs().max() > 0


CONFIG = RunConfig(
    model=None,
    stages={
        "autoencoder": AutoencoderTraining(steps=0),
        "flow": FlowTraining(steps=0),
        "scans": OPTIONS,
    },
    checkpoint_every=2,
)


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


def test_samples_stay_as_they_were_and_bare_points_are_completed(start, trained, tmp_path):
    before, after = load_model(start), load_model(trained[0])
    first = before.sample_latents(before.noise(2, seed=3), before.condition(2), steps=2)
    again = after.sample_latents(after.noise(2, seed=3), after.condition(2), steps=2)
    assert torch.equal(first, again)
    where = torch.rand(50, 3) * 2 - 1
    assert torch.equal(before.field(first[0])(where), after.field(first[0])(where))
    assert torch.equal(
        before.encode(where[None], where[None]), after.encode(where[None], where[None])
    )
    assert not before.reads_bare_points
    assert after.reads_bare_points
    assert describe(trained[0]).model["autoencoder"]["scans"] is True
    cloud = trimesh.creation.icosphere(radius=0.5).vertices + 3.0
    (mesh,) = complete(cloud, model=after, resolution=16)
    assert is_watertight(mesh)
    np.testing.assert_allclose(mesh.bounds.mean(0), 3.0, atol=0.5)
    np.savetxt(tmp_path / "ball.xyz", cloud)
    args = ["complete", str(tmp_path / "ball.xyz"), "--resolution", "16"]
    out = tmp_path / "ball.obj"
    assert main([*args, "--model", str(trained[0]), "--out", str(out)]) == 0
    assert out.is_file()
    assert main([*args, "--model", str(start), "--out", str(tmp_path / "none.obj")]) == 2


def test_points_are_placed_by_the_box_that_is_told(trained):
    model = load_model(trained[0])
    with torch.no_grad():
        model.autoencoder.scan_encoder.box_size.bias.fill_(1.0)
        model.autoencoder.scan_encoder.box_size.weight.zero_()
    cloud = trimesh.creation.icosphere(radius=0.5).vertices
    place = prepare(model, cloud, None).place
    # Asked twice, the second time in the box that it told first.
    half = float(np.exp(0.5 * np.tanh(1.0)))
    np.testing.assert_allclose(place.scale, 0.5 * half**2, rtol=1e-5)
    first = model.box(torch.from_numpy(np.float32(cloud / 0.5))[None]).centre[0]
    inside = (torch.from_numpy(np.float32(cloud / 0.5)) - first) / half
    second = model.box(inside[None]).centre[0]
    np.testing.assert_allclose(place.centre, 0.5 * (first + half * second).numpy(), atol=1e-5)
    known = prepare(model, cloud, None, box=cloud).place
    np.testing.assert_allclose(known.scale, 0.5, rtol=1e-5)


def test_tuning_on_clean_points_forgets_scans(trained, bank):
    model = load_model(trained[0])
    FieldAutoencoderStage(AutoencoderTraining(steps=0), Context(model, bank))
    assert model.reads_bare_points
    FieldAutoencoderStage(AutoencoderTraining(steps=1), Context(model, bank))
    assert not model.reads_bare_points


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scan-steps", "-1"], "--scan-steps must be at least 0, got -1"),
        (["--scan-steps", "5", "--symmetry", "so2"], "--scan-steps needs --symmetry frame"),
        (["--flow-steps", "0"], "--flow-steps must be at least 1, got 0"),
        (["--flow-steps", "0", "--init-from", "chair"], "add --autoencoder-steps 0"),
    ],
)
def test_what_does_not_go_together_is_refused(options, said, tmp_path, capsys):
    assert main(["train", *options, "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_adds_the_stage(start, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFLOW_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "run"
    args = ["train", "--shape-category", "mug", "--num-shapes", "4", "--out", str(out)]
    args += ["--init-from", str(start), "--autoencoder-steps", "0", "--flow-steps", "0"]
    assert main([*args, "--scan-steps", "2"]) == 0
    assert load_model(out).reads_bare_points
