"""One model of several categories from the command line: trained, told apart, refused."""

import numpy as np
import pytest
from test_cli_points import geoflow

from geoflow.models.base import describe
from geoflow.models.checkpoint import load_checkpoint
from geoflow.models.kinds import KINDS
from geoflow_datasets.procedural import CATEGORIES

SMALL = ("train", "--sheet-every", 0, "--no-progress", "--steps", 3)
TRAIN = (*SMALL, "--num-shapes", 6)


@pytest.fixture(scope="module", params=[pytest.param("points", marks=pytest.mark.slow), "sdf"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / request.param
    flags = ("--representation", request.param, "--shape-category", "mug,bottle")
    code, said, errors = geoflow(*TRAIN, *flags, "--out", folder)
    assert code == 0, errors
    assert "--category bottle" in said
    return folder


def test_the_model_knows_its_categories(run):
    file = describe(run)
    config = file.config(KINDS[file.kind].model_class().config_type)
    assert config.categories == ("mug", "bottle")
    assert config.transformer.num_categories == 2


def test_one_noise_gives_another_shape_in_another_category(tmp_path, run):
    clouds = run.name == "points"
    suffix, size = (".xyz", ("--points", 64)) if clouds else (".ply", ("--resolution", 24))

    def sample(name, *flags):
        out = tmp_path / f"{name}{suffix}"
        code, _, errors = geoflow("sample", "--model", run, *size, *flags, "--out", out)
        assert code == 0, errors
        return out.read_bytes()

    mug, bottle = sample("mug", "--category", "mug"), sample("bottle", "--category", "bottle")
    assert mug != bottle
    assert sample("again", "--category", "bottle") == bottle
    assert sample("default") == mug


def test_unknown_categories_are_one_line(tmp_path, run):
    sample = ("sample", "--model", run, "--out", tmp_path / "a.ply")
    for wrong, message in (
        ((*sample, "--category", "boat"), "--category must be one of mug, bottle, got 'boat'"),
        ((*TRAIN, "--shape-category", "mug,boat"), "or all; got 'boat'"),
        ((*TRAIN, "--shape-category", "mug,mug"), "different names joined by commas"),
        (
            (*TRAIN, "--shape-category", "all"),
            f"--num-shapes must be at least {len(CATEGORIES)}, got 6",
        ),
    ):
        code, said, errors = geoflow(*wrong)
        assert code == 2, said + errors
        (line,) = errors.splitlines()
        assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_procedural_category_trains_at_once(tmp_path):
    flags = ("--representation", "points", "--shape-category", "all", "--out", tmp_path / "run")
    code, said, errors = geoflow(*TRAIN, "--num-shapes", len(CATEGORIES), *flags)
    assert code == 0, errors
    categories = describe(tmp_path / "run").categories
    assert categories == tuple(CATEGORIES)
    assert f"--category {categories[-1]}" in said


def test_latents_carry_the_category_of_their_shape(run):
    """Shapes alternate, so do the latents that the flow learns from, and their mirror images."""
    tensors, _ = load_checkpoint(run / "latents.safetensors")
    assert tensors["condition.category"].tolist() == [0, 1] * 6
    assert np.ptp(tensors["tokens"].numpy()) > 0


@pytest.mark.slow
def test_a_folder_of_clouds_trains_a_model_of_its_categories(tmp_path):
    """PointFlow's layout, uneven, with one bad file: trained, told, sampled by category."""
    rng = np.random.default_rng(0)
    for synset, axes, num in (("02691156", [1, 0.2, 1], 4), ("02876657", [0.3, 1, 0.3], 2)):
        for split in ("train", "val"):
            folder = tmp_path / "data" / synset / split
            folder.mkdir(parents=True)
            for i in range(num):
                points = rng.normal(size=(500, 3))
                points /= np.linalg.norm(points, axis=1, keepdims=True)
                np.save(folder / f"{i}.npy", points * axes)
    np.save(tmp_path / "data" / "02876657" / "train" / "bad.npy", np.zeros((4, 2)))
    data = ("--data", tmp_path / "data", "--shape-category", "all")
    flags = ("--representation", "points", *data, "--out", tmp_path / "run")
    code, said, errors = geoflow(*SMALL, *flags, "--sheet-every", 3)
    assert code == 0, errors
    assert "12 clouds (500 points), 1 refused" in said
    assert "02876657/train/bad.npy: expected points of shape (n, 3)" in said
    assert describe(tmp_path / "run").categories == ("airplane", "bottle")
    assert (tmp_path / "run" / "sheets" / "flow-000003.png").is_file()
    # Four airplanes and two bottles are drawn equally often.
    tensors, _ = load_checkpoint(tmp_path / "run" / "latents.safetensors")
    assert tensors["condition.category"].tolist() == 2 * ([0] * 4 + [1] * 4)
    out = tmp_path / "cloud.npy"
    sample = ("sample", "--model", tmp_path / "run", "--points", 64, "--out", out)
    code, _, errors = geoflow(*sample, "--category", "bottle")
    assert code == 0, errors
    assert np.load(out).shape == (64, 3)
    code, _, errors = geoflow(*SMALL, *data, "--out", tmp_path / "fields")
    assert code == 2
    assert "train them with --kind points" in errors


@pytest.mark.slow
def test_a_model_is_tuned_to_categories_that_it_does_not_know(tmp_path, run):
    flags = ("--representation", run.name, "--init-from", run, "--autoencoder-steps", 0)
    code, said, errors = geoflow(
        *TRAIN, *flags, "--shape-category", "bottle,lamp", "--out", tmp_path / "run"
    )
    assert code == 0, errors
    assert describe(tmp_path / "run").categories == ("bottle", "lamp")
    assert "--category lamp" in said
