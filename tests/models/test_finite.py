"""Numbers that are not finite never leave the house: not as files, not as samples, not as models.

Weights may be damaged in the file, or so large that what they make is not finite.
"""

import numpy as np
import pytest
import torch
import trimesh
from tiny_models import tiny_models

from geoflow.atomic import write_json
from geoflow.geometry.mesh import write_mesh
from geoflow.geometry.points import SUFFIXES, write_points
from geoflow.models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from geoflow.models.kinds import KINDS, load
from geoflow_cli import main

BOX = trimesh.creation.box()
MAKERS = {
    "sdf": lambda model: model.sample(resolution=16),
    "shapes": lambda model: model.sample(resolution=16),
    "points": lambda model: model.sample(points=8),
    "distribution": lambda model: model.sample(8),
    "joints": lambda model: model.rig(BOX),
}


def test_makers_are_of_kinds_that_are_there():
    assert set(MAKERS) == set(tiny_models()) <= set(KINDS)


@pytest.fixture(scope="module")
def models():
    return tiny_models()


def overflowing(model):
    """The model with finite weights whose products are not."""
    for module in model.modules().values():
        for weight in module.parameters():
            weight.data.mul_(1e20)
    return model


@pytest.mark.parametrize("kind", MAKERS)
def test_no_kind_gives_away_what_is_not_finite(kind):
    with pytest.raises(FloatingPointError, match="not finite"):
        MAKERS[kind](overflowing(tiny_models()[kind]))


@pytest.mark.parametrize("kind", MAKERS)
def test_no_kind_is_read_or_kept_with_weights_that_are_not_finite(tmp_path, models, kind):
    models[kind].save_pretrained(tmp_path)
    load(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors, card = load_checkpoint(path)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[0] = torch.nan
    save_checkpoint(path, tensors, card)
    with pytest.raises(CheckpointError, match=f"not finite.*{name.partition('.')[2]}"):
        load(tmp_path)
    broken = tiny_models()[kind]
    next(iter(broken.modules()["flow"].parameters())).data.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="weights"):
        broken.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("kind", "suffix"), [("points", ".ply"), ("distribution", ".npy")])
def test_the_command_line_fails_and_writes_nothing(tmp_path, kind, suffix, capsys):
    overflowing(tiny_models()[kind]).save_pretrained(tmp_path / "model", half=False)
    out = tmp_path / f"a{suffix}"
    assert main(["sample", "--model", str(tmp_path / "model"), "--out", str(out)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert "not finite" in line
    assert not out.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_file_of_points_holds_it(tmp_path, suffix, bad):
    points = np.zeros((4, 3), np.float32)
    path = tmp_path / f"a{suffix}"
    write_points([points], path, num=4)
    before = path.read_bytes()
    points[2, 1] = bad
    with pytest.raises(FloatingPointError, match="1 of 12"):
        write_points([points], path, num=4)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_no_mesh_and_no_report_holds_it(tmp_path):
    mesh = BOX.copy()
    mesh.vertices[0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="1 of 8 vertices"):
        write_mesh(mesh, tmp_path / "a.obj")
    with pytest.raises(FloatingPointError, match="not finite"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert not any(tmp_path.iterdir())
