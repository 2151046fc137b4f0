"""Procedural shapes: exact distances, whole solids, disjoint and repeatable splits."""

import numpy as np
import pytest
import torch

from geoflow.geometry.extraction import extract_mesh
from geoflow.geometry.sdf import gradient, union_distance
from geoflow_datasets import load
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.layouts import SPLITS
from geoflow_datasets.procedural import CATEGORIES, make_samples, make_solids
from geoflow_datasets.queries import BOUND

each_category = pytest.mark.parametrize("category", CATEGORIES)


@each_category
def test_shapes_fill_the_normalised_box(category):
    for index in range(5):
        solids = make_solids(category, index)
        corners = np.concatenate([solid.corners() for solid in solids])
        np.testing.assert_allclose(np.abs(corners).max(), 1.0, atol=1e-9)
        np.testing.assert_allclose(corners.max(0), -corners.min(0), atol=1e-9)


@each_category
def test_surface_points_lie_on_the_surface_with_unit_outward_normals(category):
    solids, samples = make_solids(category, 3), make_samples(category, 3, num_surface=256)
    surface = samples.surface.astype(np.float64)
    assert np.abs(union_distance(solids, surface)).max() < 2e-3  # half precision of the point
    normals = samples.normals.astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=2e-3)
    ahead = union_distance(solids, surface + 0.01 * normals)
    assert np.mean(ahead > 0.004) > 0.9  # all but points in inner corners
    assert np.mean(union_distance(solids, surface - 0.01 * normals) > 0.004) < 0.1


@each_category
def test_distances_belong_to_the_stored_queries(category):
    samples = make_samples(category, 1, num_surface=64, num_queries=128)
    exact = union_distance(make_solids(category, 1), samples.queries.astype(np.float64))
    np.testing.assert_array_equal(samples.sdf, exact.astype(np.float16))
    assert np.abs(samples.queries[90:].astype(float)).max() <= BOUND + 1e-3
    shifted = union_distance(make_solids(category, 2), samples.queries.astype(np.float64))
    assert not np.array_equal(samples.sdf, shifted.astype(np.float16))


@each_category
def test_distance_has_unit_slope_outside(category):
    solids = make_solids(category, 4)
    points = np.random.default_rng(0).uniform(-1.4, 1.4, (400, 3))
    points = points[union_distance(solids, points) > 0.05]
    direction, h = gradient(solids, points), 1e-4
    rise = union_distance(solids, points + h * direction) - union_distance(solids, points)
    # Points equally far from two parts have no gradient.
    assert np.mean(np.abs(rise / h - 1.0) < 1e-2) > 0.97


@each_category
def test_shapes_are_single_watertight_solids(category):
    solids = make_solids(category, 0, split="test")

    def field(points):
        distance = union_distance(solids, points.numpy().astype(np.float64))
        return torch.from_numpy(distance.astype(np.float32))

    mesh = extract_mesh(field, resolution=96).mesh
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert mesh.volume > 0


def test_shapes_repeat_and_differ_by_seed_and_split():
    one, same = make_samples("chair", 5), make_samples("chair", 5)
    np.testing.assert_array_equal(one.queries, same.queries)
    np.testing.assert_array_equal(one.sdf, same.sdf)
    others = [make_samples("chair", 6)] + [
        make_samples("chair", 5, split=split) for split in SPLITS if split != "train"
    ]
    for other in others:
        assert not np.array_equal(one.surface, other.surface)


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="category must be one of chair, table"):
        make_solids("boat", 0)
    with pytest.raises(ValueError, match="split must be one of train, val, test"):
        make_solids("chair", 0, split="dev")


def test_bank_is_cached_and_batches_repeat(tmp_path, monkeypatch):
    bank = load("procedural", "mug", split="val", num=3, cache=tmp_path)
    assert len(bank) == 3

    def fail(*arguments, **options):
        raise AssertionError("a cached bank was made again")

    monkeypatch.setattr("geoflow_datasets.made._arrays", fail)
    again = load("procedural", "mug", split="val", num=3, cache=tmp_path)
    with pytest.raises(AssertionError, match="made again"):
        load("procedural", "mug", split="val", num=4, cache=tmp_path)

    def draw(bank, seed):
        return bank.batch(
            np.array([2, 0]),
            num_surface=10,
            num_queries=20,
            generator=torch.Generator().manual_seed(seed),
        )

    first, second = draw(bank, 0), draw(again, 0)
    assert first.surface.shape == (2, 10, 3)
    assert first.sdf.shape == (2, 20)
    torch.testing.assert_close(first.queries, second.queries)
    assert not torch.equal(first.queries, draw(bank, 1).queries)


def test_bank_refuses_arrays_of_different_lengths(unchecked):
    with pytest.raises(ValueError, match="one length"):
        ShapeBank(
            surface=np.zeros((2, 4, 3), np.float16),
            normals=np.zeros((2, 4, 3), np.float16),
            queries=np.zeros((1, 4, 3), np.float16),
            sdf=np.zeros((2, 4), np.float16),
            categories=np.zeros(2, int),
            names=("a", "b"),
            category_names=("chair",),
        )
