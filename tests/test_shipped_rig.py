"""What the package promises of its rigger: size, card, joints of unseen figures in five steps."""

import json
from importlib import resources
from pathlib import Path

import igl
import numpy as np
import pytest
import torch
import trimesh

from geoflow.models.base import WEIGHTS
from geoflow.models.joints import Rigger, surface_noise
from geoflow.testing import random_rotations, relative_error, rotate_points
from geoflow_cli import main
from geoflow_cli.rig import shipped_figure
from geoflow_datasets import load
from geoflow_tools.validation.joints import predict_clouds, score_clouds

LARGEST = 4_000_000


@pytest.fixture(scope="module")
def rigger():
    return Rigger.from_pretrained()


@pytest.fixture(scope="module")
def bank():
    return load("procedural", gives="figures", split="test", num=9)


def scores(rigger, bank, steps):
    def sampler(points):
        return rigger.predict(points, steps=steps)

    clouds = predict_clouds(bank, sampler, num_points=rigger.config.num_points)
    return score_clouds(rigger, bank, clouds)


def test_model_is_small_and_has_a_card():
    folder = Path(str(resources.files("geoflow") / "shipped" / "rig"))
    assert (folder / WEIGHTS).stat().st_size <= LARGEST
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("geoflow train", "seed", "CD-J2J", "IoU", "Licence"):
        assert word in card


def test_five_steps_find_the_joints_of_unseen_figures(rigger, bank):
    few, many = scores(rigger, bank, 5), scores(rigger, bank, 50)
    assert few["chamfer"] < 5.0
    assert few["iou"] > 50.0
    assert few["cloud"] < 1.1 * many["cloud"]
    # The twin: joints of the figures in another order are far away.
    other = bank.subset(np.roll(np.arange(9), 1).tolist())

    def sampler(points):
        return rigger.predict(points, steps=5)

    clouds = predict_clouds(other, sampler, num_points=rigger.config.num_points)
    assert score_clouds(rigger, bank, clouds)["iou"] < 0.5 * few["iou"]


def test_the_shipped_figure_is_one_and_others_are_warned_of(tmp_path, capsys):
    sphere = tmp_path / "sphere.ply"
    trimesh.creation.icosphere(3).export(sphere)
    assert main(["rig", "--out", str(tmp_path / "rigged.glb")]) == 0
    assert "warning" not in capsys.readouterr().err
    report = json.loads((tmp_path / "rigged.json").read_text())
    assert report["mesh"] == "figure.ply"
    figure = trimesh.load_mesh(shipped_figure())
    rigged = trimesh.load(tmp_path / "rigged.glb", force="mesh")
    assert len(rigged.faces) == len(figure.faces)
    inside = igl.winding_number(figure.vertices, figure.faces, np.array(report["joints"])) > 0.5
    assert inside.mean() > 0.8
    assert main(["rig", "--mesh", str(sphere), "--out", str(tmp_path / "none.json")]) == 0
    assert "sphere.ply may be no figure" in capsys.readouterr().err
    assert not (tmp_path / "none.glb").exists()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_trained_joints_turn_with_the_surface(bank, dtype):
    rigger = Rigger.from_pretrained()
    rigger.flow_map.to(dtype)
    points = torch.from_numpy(bank.surface[:3, :512]).to(dtype)
    turn = -random_rotations(3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    cloud = rotate_points(rigger.predict(points), turn)
    error = relative_error(rigger.predict(rotate_points(points, turn)), cloud)
    limit = 1e-9 if dtype == torch.float64 else 1e-4
    assert error < limit
    # The twin: the same noise in both poses.
    noise = surface_noise(points, rigger.config.cloud)
    cloud = rotate_points(rigger.predict(points, noise=noise), turn)
    still = rigger.predict(rotate_points(points, turn), noise=noise)
    assert relative_error(still, cloud) > 100 * limit
