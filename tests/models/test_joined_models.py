"""Models join what their fields nearly join, less of it beside points, and as they are told."""

import numpy as np
import pytest
import torch
import trimesh
from command import geoflow as command
from tiny_models import tiny_models

import geoflow
from geoflow.models.meshes import FieldGenerator


def gap(width):
    """Two balls that far apart."""
    middles = torch.tensor([[0.0, y * (0.2 + width / 2), 0.0] for y in (-1.0, 1.0)])
    return lambda points: torch.cdist(points, middles).amin(1) - 0.2


@pytest.fixture
def model(monkeypatch):
    """A model whose fields have a gap of 0.04: one at a level of 0.02."""
    monkeypatch.setattr(FieldGenerator, "field", lambda *_, **__: gap(0.04))
    return tiny_models()["shapes"]


def parts(mesh):
    assert mesh.is_watertight
    return mesh.body_count


def test_by_default_more_of_a_latent_than_beside_points(model):
    tokens = torch.zeros(64, model.config.autoencoder.scalars)
    through = geoflow.SurfacePoints(torch.zeros(1, 100, 3))
    assert parts(model.decode(tokens, resolution=64)) == 1
    assert parts(model.decode(tokens, resolution=64, through=through)) == 2
    assert parts(model.decode(tokens, resolution=64, join=0.0)) == 2
    mended = model.decode(tokens, resolution=64, through=through, join=0.025)
    assert parts(mended) == 1
    assert mended.metadata["joined"] == 1
    assert model.decode(tokens, resolution=64, join=0.0).metadata["joined"] == 0


def test_samples_and_answers_are_told(model):
    for join, expected in ((None, 1), (0.0, 2), (0.01, 2)):
        assert [parts(m) for m in model.sample(steps=1, resolution=64, join=join)] == [expected]
        points = np.random.default_rng(0).standard_normal((200, 3))
        (answer,) = geoflow.complete(points, model=model, resolution=64, join=join)
        assert parts(answer) == expected


def test_commands_pass_it_on(model, monkeypatch, tmp_path):
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    trimesh.creation.icosphere().export(tmp_path / "ball.ply")
    for name, words in (
        ("sample", ()),
        ("complete", (tmp_path / "ball.ply",)),
        ("vary", (tmp_path / "ball.ply",)),
    ):
        for join, expected in (((), 1), (("--join", 0), 2)):
            out = tmp_path / "out.ply"
            flags = ("--model", folder, "--resolution", 64, "--out", out)
            result = command(name, *words, *flags, *join)
            assert result.returncode == 0, result.stderr
            assert f"{expected} component" in result.stdout
            assert parts(trimesh.load_mesh(out)) == expected
            said = "joined at 1 place," in result.stdout
            assert said == (name == "sample" and expected == 1)


@pytest.mark.parametrize("name", ["sample", "complete", "vary"])
@pytest.mark.parametrize("value", ["-0.1", "0.2", "nan"])
def test_levels_that_join_nothing_are_refused(name, value, tmp_path):
    words = () if name == "sample" else (tmp_path / "ball.ply",)
    trimesh.creation.icosphere().export(tmp_path / "ball.ply")
    result = command(name, *words, "--join", value, "--out", tmp_path / "a.obj")
    assert result.returncode == 2
    assert f"--join must be in [0, 0.1], got {value}" in result.stderr
