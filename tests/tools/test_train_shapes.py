"""How the shipped model of many things is trained, in small."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from geoflow.backbones.volume_field import VolumeAutoencoder, VolumeConfig
from geoflow.testing import relative_error
from geoflow_tools.train_shapes.growing import GrowingBank, Job, make
from geoflow_tools.train_shapes.packed import PackedMeshes, pack
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
    small = VolumeAutoencoder(SMALL)
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
