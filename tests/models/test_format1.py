"""Models that version 0.1 wrote, of every kind, are read and give the same samples."""

import json
from pathlib import Path

import pytest
import torch

from geoflow.models.base import describe
from geoflow.models.checkpoint import CheckpointError, load_card, save_checkpoint
from geoflow.models.kinds import KINDS, load
from geoflow.training.folder import check_free, read_run
from geoflow.training.run import Run

FOLDER = Path(__file__).parents[1] / "data" / "format1"
OLD = sorted(path.parent.name for path in FOLDER.glob("*/config.json"))
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def samples(model):
    """The first numbers of what a kind makes, in the words of the kind."""
    if model.kind == "joints":
        return model.predict(torch.linspace(-1, 1, 48).square().sin().reshape(1, 16, 3), seed=1)
    if model.kind == "distribution":
        return model.sample(2, seed=1)
    return model.sample_latents(model.noise(2, seed=1), model.condition(2, category="table"))


def test_old_models_are_of_kinds_that_are_there():
    assert {"sdf", "points", "distribution", "joints"} == set(OLD) <= set(KINDS)


@pytest.mark.parametrize("kind", OLD)
def test_an_old_model_makes_what_it_made(tmp_path, kind):
    model = load(FOLDER / kind)
    assert model.kind == kind
    made = samples(model).flatten()[:6]
    torch.testing.assert_close(made, torch.tensor(EXPECTED[kind]), atol=1e-5, rtol=1e-5)
    # Written again it has today's format, whatever it was.
    model.save_pretrained(tmp_path)
    assert load_card(tmp_path / "model.safetensors")[0] == 2
    torch.testing.assert_close(samples(load(tmp_path)).flatten()[:6], made, atol=2e-2, rtol=2e-2)


def test_an_old_cloud_has_the_points_it_had():
    model = load(FOLDER / "points")
    latents = samples(model)
    points = model.decode(latents, 4, seed=1).flatten()[:6]
    torch.testing.assert_close(points, torch.tensor(EXPECTED["points/cloud"]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "text"),
    [("run.json", '{"data": {}}'), ("distribution.json", "{}"), ("joints.json", "{}")],
)
def test_an_old_run_is_refused_by_its_version(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=r"a run of geoflow 0\.1, .* cannot resume"):
        read_run(tmp_path)
    with pytest.raises(CheckpointError, match=r"a run of geoflow 0\.1"):
        Run.open(tmp_path)
    with pytest.raises(FileExistsError, match="--resume"):
        check_free(tmp_path)


def test_a_later_format_and_an_unknown_kind_are_refused(tmp_path):
    save_checkpoint(tmp_path / "model.safetensors", {}, {"kind": "holograms", "model": {}})
    with pytest.raises(CheckpointError, match="kind 'holograms', expected one of sdf, shapes"):
        load(tmp_path)
    save_checkpoint(tmp_path / "model.safetensors", {}, {"model": {}})
    with pytest.raises(CheckpointError, match="no usable card: KeyError"):
        describe(tmp_path)
