"""How the shipped model of many things is trained, in small."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from geoflow.backbones import TokenTransformer, TransformerConfig
from geoflow.backbones.volume_field import VolumeAutoencoder, VolumeConfig
from geoflow.flow_map import FlowMap
from geoflow.objectives import Guide
from geoflow.testing import relative_error
from geoflow.times import UniformPairs
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_tools.train_shapes.growing import GrowingBank, Job, make
from geoflow_tools.train_shapes.packed import PackedMeshes, pack
from geoflow_tools.train_shapes.steps import EncodedDraws, FlowStep, StaticOptimiser
from geoflow_tools.train_shapes.widened import widen

SMALL = VolumeConfig(
    cells=2, scalars=8, widths=(32, 16, 16, 16), cell_blocks=1, coarse_blocks=1, hidden=16,
    layers=1,
)  # fmt: skip


def answers(network, points):
    frame = torch.eye(3)[None]
    tokens = network.encode(points, points, frame)
    return tokens, network.decode(tokens, points, frame)


@torch.no_grad()
def test_a_widened_autoencoder_is_the_one_it_grew_from():
    torch.manual_seed(0)
    small = VolumeAutoencoder(replace(SMALL, residual=8))
    large = VolumeAutoencoder(replace(SMALL, widths=(32, 16, 16, 24, 4), fine_blocks=2))
    points = torch.rand(1, 300, 3) - 0.5
    assert relative_error(answers(large, points)[1], answers(small, points)[1]) > 1e-2
    widen(small, large)
    for grown, was in zip(answers(large, points), answers(small, points), strict=True):
        assert relative_error(grown, was) < 1e-5
    # What is new can be learned: it has weights that are read by others, or read others.
    assert large.decoder.up_detail.weight.abs().max() > 0
    assert large.encoder.read[2].weight[16:].abs().max() > 0


def test_other_widths_are_refused():
    small = VolumeAutoencoder(SMALL)
    for other in (replace(SMALL, hidden=24), replace(SMALL, widths=(32, 24, 16, 16))):
        with pytest.raises(ValueError, match="cannot be widened"):
            widen(small, VolumeAutoencoder(other))


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "things"
    (folder / "lamp").mkdir(parents=True)
    shapes = {
        "lamp/ball.obj": trimesh.creation.icosphere(5),
        "lamp/box.obj": trimesh.creation.box(),
    }
    for name, mesh in shapes.items():
        mesh.export(folder / name)
    (folder / "lamp" / "bad.obj").write_text("f 1 2 3\n")
    splits = dict.fromkeys(shapes, "train") | {"lamp/bad.obj": "train", "lamp/kept.obj": "test"}
    (folder / "splits.json").write_text(json.dumps(splits))
    (refused,) = pack(folder, tmp_path / "packed")
    assert refused.startswith("lamp/bad.obj: ")
    return tmp_path / "packed"


def test_packed_meshes_come_back(meshes):
    packed = PackedMeshes.read(meshes)
    assert set(packed.parts) == {"lamp/ball.obj", "lamp/box.obj"}
    box, ball = packed.mesh("lamp/box.obj"), packed.mesh("lamp/ball.obj")
    np.testing.assert_allclose(box.bounds, [[-1] * 3, [1] * 3], atol=1e-4)
    assert box.is_watertight
    assert len(ball.faces) == 8000 < 20_480
    np.testing.assert_allclose(np.linalg.norm(ball.vertices, axis=1), 1, atol=2e-3)
    meshes.write_bytes(meshes.read_bytes()[:-1])
    with pytest.raises(ValueError, match="pack it again"):
        PackedMeshes.read(meshes)


def test_rows_are_ready_once_they_are_made(meshes, tmp_path):
    jobs = (Job("mesh", "lamp/box.obj", 0, 0.0), Job("mesh", "lamp/box.obj", 1, 0.5),
            Job("procedural", "mug", 3, 0.1))  # fmt: skip
    bank = GrowingBank(tmp_path / "bank", jobs, 64, 32)
    packed = PackedMeshes.read(meshes)
    assert not bank.ready.any()
    for row in (0, 2):
        bank.put(row, make(jobs[row], bank, packed))
    np.testing.assert_array_equal(bank.ready, [True, False, True])
    taken = bank.take(np.array([0, 0]), 16, 8, np.random.default_rng(0))
    assert {name: tuple(v.shape) for name, v in taken.items()} == {
        "surface": (2, 16, 3), "normals": (2, 16, 3), "queries": (2, 8, 3), "sdf": (2, 8)
    }  # fmt: skip
    inside = taken["surface"].abs().amax(-1)
    torch.testing.assert_close(inside, torch.ones_like(inside), atol=1e-3, rtol=0)
    # A copy is another shape.
    copied = make(jobs[1], bank, packed)
    assert np.abs(np.abs(copied["surface"]).max(-1) - 1).max() > 0.01


@pytest.fixture(scope="module")
def flow_map():
    torch.manual_seed(0)
    sizes = TransformerConfig(
        num_tokens=8, scalars=6, vectors=0, num_categories=3, width=32, blocks=2, guided=True,
        points=True,
    )  # fmt: skip
    network = TokenTransformer(sizes)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return FlowMap(network, "linear", "u")


@pytest.fixture(scope="module")
def draws():
    generator = torch.Generator().manual_seed(1)
    tokens, given = torch.randn(2, 40, 8, 6, generator=generator)
    given[::2] = 0
    return EncodedDraws(tokens, given, torch.randint(3, (40,), generator=generator))


OPTIONS = VolumeFlowTraining(diagonal=0.25, end=0.5)


def test_a_static_step_has_the_losses_of_the_objective(flow_map, draws):
    slow = Ema(flow_map, 0.9)
    step = FlowStep(
        flow_map, StaticOptimiser(flow_map, slow), draws, OPTIONS, 64, jumps=True,
        total=torch.zeros(()),
    )  # fmt: skip
    torch.manual_seed(2)
    x1, cond = step.example()
    t, r = step.times(64, torch.device("cpu"))
    x0 = torch.randn_like(x1)

    class These(UniformPairs):
        def sample(self, num, *, generator=None, dtype=torch.float32):
            return t, r

    objective = replace(
        OPTIONS.build_objective(), times=These(diagonal=0.25, end=0.5), pool=Guide(slow.module)
    )
    with torch.no_grad():
        theirs = objective(flow_map, x0, x1, cond, average=slow.module)
        ours = step.losses(x0, x1, t, r, cond)
        unguided = replace(cond, guidance=torch.ones(64))
        other = objective(flow_map, x0, x1, unguided, average=slow.module)
    torch.testing.assert_close(ours, theirs.total, rtol=1e-4, atol=1e-5)
    assert relative_error(other.total, ours) > 1e-3


def test_static_examples_are_told_as_often(flow_map, draws):
    step = FlowStep(
        flow_map, StaticOptimiser(flow_map, Ema(flow_map, 0.9)), draws, OPTIONS, 2000, jumps=True,
        total=torch.zeros(()),
    )  # fmt: skip
    torch.manual_seed(3)
    _, cond = step.example()
    t, r = step.times(2000, torch.device("cpu"))
    is_scan = cond.tokens.flatten(1).any(1)
    assert is_scan.sum() == 1000
    assert (cond.guidance > 1).sum() == 425
    assert not ((cond.guidance > 1) & (is_scan | (cond.category < 0))).any()
    assert cond.guidance.max() <= 4
    for rows, share in ((is_scan, 0.5), (~is_scan, 0.15)):
        assert abs((cond.category[rows] < 0).float().mean() - share) < 0.05
    assert (t == r).sum() == 500
    assert abs((r[t < r] == 1).float().mean() - 0.5) < 0.05


def test_a_static_optimiser_takes_the_steps_of_the_other():
    torch.manual_seed(0)
    one = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.SiLU(), torch.nn.Linear(32, 16))
    two = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.SiLU(), torch.nn.Linear(32, 16))
    two.load_state_dict(one.state_dict())
    averages = Ema(one, 0.99), Ema(two, 0.99)
    usual, static = Optimiser(one, Schedule(warmup=0)), StaticOptimiser(two, averages[1])
    x = torch.randn(5, 8, 16)
    for step in range(5):
        for network in (one, two):
            network(x[step]).square().mean().backward()
        usual.step(step, 5)
        averages[0].update(one, step)
        static.set(Schedule(warmup=0).at(step, 5), step)
        static.step()
    for pair in ((one, two), [average.module for average in averages]):
        for this, other in zip(*(network.parameters() for network in pair), strict=True):
            torch.testing.assert_close(other, this, rtol=1e-4, atol=1e-6)
