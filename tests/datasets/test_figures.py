"""Procedural figures: joints inside the body, points on its surface, trees, seeds, splits."""

import numpy as np
import pytest
import torch

from geoflow.geometry.extraction import extract_mesh
from geoflow.geometry.sdf import union_distance
from geoflow_datasets import load
from geoflow_datasets.figure_bank import FigureBank
from geoflow_datasets.figures import FIGURES, make_figure, make_surface
from geoflow_datasets.figures.figure import Figure

each_kind = pytest.mark.parametrize("kind", FIGURES)


def depth(figure, points):
    return -union_distance(figure.solids, np.asarray(points, dtype=np.float64))


@each_kind
def test_joints_are_centres_of_the_body_and_form_a_tree(kind):
    counts = set()
    for index in range(12):
        figure = make_figure(kind, index)
        counts.add(len(figure.joints))
        assert depth(figure, figure.joints).min() > 0.008
        assert figure.parents[0] == -1
        assert all(0 <= parent < child for child, parent in enumerate(figure.parents) if child)
        assert len(set(figure.names)) == len(figure.names) == len(figure.joints)
        corners = np.concatenate([solid.corners() for solid in figure.solids])
        np.testing.assert_allclose(np.abs(corners).max(), 1.0, atol=1e-9)
        np.testing.assert_allclose(corners.max(0), -corners.min(0), atol=1e-9)
    assert len(counts) > 1
    # The twin: joints of another figure are not inside this one.
    assert depth(figure, make_figure(kind, 40).joints).min() < 0


@each_kind
def test_bones_run_inside_the_body(kind):
    figure = make_figure(kind, 2)
    child = np.arange(1, len(figure.joints))
    start, end = figure.joints[child], figure.joints[np.array(figure.parents)[1:]]
    along = np.linspace(0, 1, 9)[:, None, None]
    assert depth(figure, (start + along * (end - start)).reshape(-1, 3)).min() > 0


@each_kind
def test_points_lie_on_the_outer_surface(kind):
    figure = make_figure(kind, 3)
    points = make_surface(kind, 3, num=256)
    assert np.abs(depth(figure, points)).max() < 1e-4
    buried = figure.solids[0].surface(256, np.random.default_rng(0))
    assert np.abs(depth(figure, buried)).max() > 1e-2


def test_figures_are_single_watertight_solids():
    for kind in FIGURES:
        figure = make_figure(kind, 0, split="test")

        def field(points, figure=figure):
            return torch.from_numpy(-depth(figure, points.numpy())).float()

        mesh = extract_mesh(field, resolution=96).mesh
        assert mesh.is_watertight
        assert mesh.body_count == 1


def test_figures_repeat_and_differ_by_seed_and_split():
    one = make_figure("biped", 5)
    np.testing.assert_array_equal(one.joints, make_figure("biped", 5).joints)
    np.testing.assert_array_equal(make_surface("biped", 5), make_surface("biped", 5))
    others = [make_figure("biped", 6), *(make_figure("biped", 5, split=s) for s in ("val", "test"))]
    for other in others:
        assert not np.array_equal(one.joints[0], other.joints[0])
    with pytest.raises(ValueError, match="kind must be one of biped, quadruped, hand, got 'fish'"):
        make_figure("fish", 0)
    with pytest.raises(ValueError, match="split must be one of train, val, test"):
        make_figure("hand", 0, split="dev")


def test_bank_is_cached_and_batches_repeat(tmp_path, monkeypatch):
    bank = load("procedural", gives="figures", split="val", num=4, cache=tmp_path)
    assert [name.split("-")[0] for name in bank.names] == ["biped", "quadruped", "hand", "biped"]

    def fail(*arguments, **options):
        raise AssertionError("a cached bank was made again")

    monkeypatch.setattr("geoflow_datasets.figures.make_surface", fail)
    again = load("procedural", gives="figures", split="val", num=4, cache=tmp_path)
    with pytest.raises(AssertionError, match="made again"):
        load("procedural", gives="figures", split="val", num=5, cache=tmp_path)

    def draw(bank, seed):
        generator = torch.Generator().manual_seed(seed)
        return bank.batch(np.array([2, 0]), num_points=50, generator=generator)

    (points, joints, counts), (same, *_) = draw(bank, 0), draw(again, 0)
    assert points.shape == (2, 50, 3)
    assert len(points[0].unique(dim=0)) == 50
    torch.testing.assert_close(points, same)
    assert not torch.equal(points, draw(bank, 1)[0])
    hand = make_figure("hand", 0, split="val")
    np.testing.assert_allclose(joints[0, : counts[0]], hand.joints, atol=1e-6)
    np.testing.assert_array_equal(bank.parents[2, : counts[0]], hand.parents)
    assert bank.subset([2]).names == ("hand-val-0",)
    with pytest.raises(ValueError, match="stores 1024 points of a figure, not 2000"):
        bank.batch(np.array([0]), num_points=2000, generator=torch.Generator())


def test_banks_of_nothing_or_of_lists_that_differ_are_refused():
    with pytest.raises(ValueError, match="one length above 0"):
        FigureBank.of([], [], [], [])
    figure = Figure(("a",), (-1,), np.zeros((1, 3)), ())
    with pytest.raises(ValueError, match="one length above 0"):
        FigureBank.of([np.zeros((2, 3))], [figure.joints], [figure.parents], ["a", "b"])
