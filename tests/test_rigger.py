"""Riggers: trained on figures, resumed, asked for the joints of a mesh in any pose."""

import json

import numpy as np
import pytest
import torch
import trimesh

from geoflow.backbones import JointTransformerConfig
from geoflow.geometry.sdf import union_distance
from geoflow.models.checkpoint import CheckpointError, load_checkpoint
from geoflow.models.joints import Rigger, RiggerConfig, standardise, surface_noise
from geoflow.testing import random_rotations, relative_error, rotate_points
from geoflow.training.run import DataConfig, Run, RunConfig
from geoflow.training.stages.joints import JointTraining, repeat_joints
from geoflow_cli import main
from geoflow_datasets import load
from geoflow_datasets.figures import make_figure

NETWORK = JointTransformerConfig(
    surface_tokens=12, width=16, vector_width=4, surface_blocks=1, blocks=1, heads=4
)
MODEL = RiggerConfig(network=NETWORK, num_points=64, cloud=32)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def figures():
    return load("procedural", gives="figures", split="train", num=6)


@pytest.fixture(scope="module")
def mesh():
    """A figure as a mesh, at its own place and scale: the balls at its joints."""
    figure = make_figure("biped", 0, split="test")
    balls = [
        trimesh.creation.icosphere(2, max(-union_distance(figure.solids, joint[None])[0], 0.02))
        for joint in figure.joints
    ]
    for ball, joint in zip(balls, figure.joints, strict=True):
        ball.apply_translation(joint)
    whole = trimesh.util.concatenate(balls)
    whole.apply_scale(30.0)
    whole.apply_translation([100.0, -40.0, 7.0])
    return whole


def config(**training):
    return RunConfig(
        kind="joints",
        data=DataConfig(num=6),
        model=MODEL,
        stages={"joints": JointTraining(**({"steps": 6, "batch": 4} | training))},
        checkpoint_every=2,
    )


def run(folder, options, figures, *, stop=None):
    job = Run.open(folder) if options is None else Run.create(folder, options)
    losses = []
    for progress in job.train(figures):
        losses.append(progress.loss)
        if progress.step == stop:
            break
    return losses


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, figures):
    run(tmp_path / "whole", config(), figures)
    run(tmp_path / "killed", config(), figures, stop=3)
    run(tmp_path / "killed", None, figures)
    whole, resumed = (
        load_checkpoint(tmp_path / name / "model" / "model.safetensors")[0]
        for name in ("whole", "killed")
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(FileExistsError, match="--resume"):
        run(tmp_path / "whole", config(), figures)
    with pytest.raises(CheckpointError, match="no run to resume"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="no model"):
        Rigger.from_pretrained(tmp_path / "nothing")


def test_training_brings_points_to_the_joints(tmp_path, figures):
    losses = run(tmp_path / "run", config(steps=60), figures)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_every_joint_is_repeated_as_often_as_any_other():
    joints = torch.arange(2 * 5 * 3, dtype=torch.float32).reshape(2, 5, 3)
    cloud = repeat_joints(joints, torch.tensor([3, 5]), 13, generator=seeded())
    for example, count in enumerate((3, 5)):
        found, times = cloud[example].unique(dim=0, return_counts=True)
        torch.testing.assert_close(found, joints[example, :count])
        assert set(times.tolist()) <= {13 // count, 13 // count + 1}
    other = repeat_joints(joints, torch.tensor([3, 5]), 13, generator=seeded(1))
    assert not torch.equal(cloud, other)
    with pytest.raises(ValueError, match="a figure has 5 joints, the cloud only 4 points"):
        repeat_joints(joints, torch.tensor([3, 5]), 4)


def test_noise_is_normal_and_turns_with_the_surface():
    points = torch.randn(2, 64, 3, generator=seeded(), dtype=torch.float64)
    points = points * torch.tensor([3.0, 0.5, 0.1])
    noise = surface_noise(points, 20_000)
    for cloud in noise:
        torch.testing.assert_close(cloud.T.cov(), torch.eye(3).double(), rtol=0, atol=0.04)
        assert cloud.mean(0).abs().max() < 0.03
    turn = -random_rotations(2, generator=seeded(1))
    turned = surface_noise(rotate_points(points, turn), 20_000)
    assert relative_error(turned, rotate_points(noise, turn)) < 1e-9
    assert relative_error(surface_noise(points, 20_000, seed=1), noise) > 0.1
    assert relative_error(surface_noise(points[:1], 20_000), noise[:1]) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_noise_of_a_plane_turns_too_and_that_of_a_line_is_refused(dtype):
    flat = torch.randn(2, 64, 3, generator=seeded(), dtype=torch.float64)
    flat = (flat * torch.tensor([3.0, 0.5, 0.0])).to(dtype)
    noise = surface_noise(flat, 20_000)
    for cloud in noise:
        torch.testing.assert_close(cloud.T.cov(), torch.eye(3, dtype=dtype), rtol=0, atol=0.04)
    limit = 1e-9 if dtype == torch.float64 else 1e-4
    turn = random_rotations(2, generator=seeded(1)).to(dtype)
    turned = surface_noise(rotate_points(flat, turn), 20_000)
    assert relative_error(turned, rotate_points(noise, turn)) < limit
    assert relative_error(surface_noise(flat, 20_000, seed=1), noise) > 0.1
    with pytest.raises(ValueError, match="must not lie on a line"):
        surface_noise(flat * torch.tensor([1.0, 0.0, 0.0], dtype=dtype), 8)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_joints_turn_move_and_grow_with_the_surface(dtype, steps):
    torch.manual_seed(0)
    rigger = Rigger.build(MODEL)
    rigger.flow_map.to(dtype)
    points = torch.randn(3, 64, 3, generator=seeded(), dtype=torch.float64).to(dtype)
    cloud = rigger.predict(points, steps=steps)
    turn = -random_rotations(3, generator=seeded(1), dtype=dtype)
    shift = torch.tensor([0.5, -2.0, 1.0], dtype=dtype)
    moved = rigger.predict(3 * rotate_points(points, turn) + shift, steps=steps)
    limit = 1e-9 if dtype == torch.float64 else 1e-4
    assert relative_error(moved, 3 * rotate_points(cloud, turn) + shift) < limit
    # The twin: noise that stays where it is does not turn the joints exactly.
    still = torch.randn(3, 32, 3, generator=seeded(2), dtype=torch.float64).to(dtype)
    cloud = rigger.predict(points, steps=steps, noise=still)
    moved = rigger.predict(rotate_points(points, turn), steps=steps, noise=still)
    assert relative_error(moved, rotate_points(cloud, turn)) > 1e-3


def test_evaluations_are_counted_and_the_surface_is_read_once():
    rigger, calls = Rigger.build(MODEL), []
    network = rigger.flow_map.backbone

    def counting(name):
        method = getattr(network, name)

        def count(*inputs):
            calls.append(name)
            return method(*inputs)

        return count

    network.read, network.move = counting("read"), counting("move")
    rigger.predict(torch.randn(2, 64, 3, generator=seeded()), steps=5)
    assert calls == ["read"] + 5 * ["move"]


def test_rotating_the_mesh_rotates_its_joints(mesh):
    rigger = Rigger.build(MODEL)
    rigger.flow_map.double()
    rig = rigger.rig(mesh, steps=2)
    turn = np.eye(4)
    turn[:3, :3] = random_rotations(1, generator=seeded())[0].numpy()
    turned = mesh.copy()
    turned.apply_transform(turn)
    again = rigger.rig(turned, steps=2)
    size = mesh.extents.max()
    assert np.abs(again.cloud - rig.cloud @ turn[:3, :3].T).max() < 1e-4 * size
    assert np.abs(again.joints - rig.joints @ turn[:3, :3].T).max() < 1e-4 * size
    assert again.parents == rig.parents
    assert np.abs(rigger.rig(turned, steps=2, seed=1).cloud - again.cloud).max() > 1e-3 * size


def test_surfaces_without_extent_are_refused(mesh):
    with pytest.raises(ValueError, match="must be finite, and must not coincide"):
        standardise(torch.ones(1, 5, 3))
    flat = trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False)
    with pytest.raises(ValueError, match="the mesh has no area"):
        Rigger.build(MODEL).rig(flat)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        Rigger.build(MODEL).rig(mesh, steps=0)


@pytest.fixture
def geoflow(capsys):
    """The command line, in this process: what it printed."""

    def run(*words, code=0):
        assert main([str(word) for word in words]) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


@pytest.mark.slow
def test_figures_to_a_model_to_joints_of_a_mesh(tmp_path, mesh, geoflow):
    mesh.export(tmp_path / "figure.obj")
    out = tmp_path / "joints.json"
    train = ["train", "--representation", "joints", "--out", tmp_path / "run", "--no-progress"]
    said = geoflow(*train, "--steps", 3, "--num-shapes", 6)
    assert "geoflow rig --model" in said
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert line["step"] == 3
    rig = ["rig", "--mesh", tmp_path / "figure.obj", "--model", tmp_path / "run", "--out", out]
    said = geoflow(*rig, "--png", tmp_path / "figure.png")
    assert "5 network evaluations" in said
    report = json.loads(out.read_text())
    assert report["network_evaluations"] == 5
    assert len(report["joints"]) == len(report["parents"])
    assert report["parents"].count(-1) == 1
    assert "not learned" in report["parents_are"]
    centre = np.mean(report["joints"], axis=0)
    assert (np.abs(centre - mesh.bounds.mean(0)) < mesh.extents.max()).all()
    assert (tmp_path / "figure.png").read_bytes()[1:4] == b"PNG"
    before = out.read_text()
    geoflow(*rig)
    assert out.read_text() == before
    assert "holds a run already" in geoflow(*train, "--steps", 3, code=2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rig", "--mesh", "no.obj", "--out", "a.json"), "there is no mesh file no.obj"),
        (
            ("rig", "--mesh", __file__, "--out", "a.txt"),
            "--out must end in .json or .glb, got 'a.txt'",
        ),
        (("rig", "--mesh", __file__, "--out", "a.json"), "cannot be read"),
        (("rig", "--mesh", __file__, "--out", "a.json", "--steps", 0), "--steps must be at least"),
        (
            ("train", "--representation", "joints", "--teacher", "chair"),
            "--teacher does not go with --kind joints",
        ),
        (
            ("train", "--representation", "joints", "--data", "tests"),
            "has not RigNet's layout",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(words, message, geoflow):
    said = geoflow(*words, code=2)
    assert message in said
    assert len(said.strip().splitlines()) == 1
