"""Metrics of joints on cases with known answers, merging, trees; moments of surfaces."""

import numpy as np
import pytest
import torch

from geoflow.backbones.surface_moments import (
    NUM_SCALARS,
    NUM_VECTORS,
    farthest_points,
    surface_moments,
)
from geoflow.geometry.joints import local_radius, merge_points, score_joints, spanning_parents

LINE = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_equal_sets_in_any_order_are_perfect():
    joints = rng().normal(size=(12, 3))
    scores = score_joints(joints[rng(1).permutation(12)], joints, tolerance=1e-9, size=2.0)
    assert (scores.chamfer, scores.iou, scores.precision, scores.recall) == (0, 1, 1, 1)


def test_scores_count_matched_pairs():
    # Two joints near, one far, one missing: M = 2, P = 3, R = 4.
    predicted = np.array([[0.1, 0, 0], [1, 0.1, 0], [9, 0, 0]])
    scores = score_joints(predicted, LINE, tolerance=0.2, size=2.0)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 4)
    assert scores.iou == pytest.approx(2 * 2 / 7)
    there, back = (0.1 + 0.1 + 6) / 3, (0.1 + 0.1 + np.hypot(1, 0.1) + np.hypot(2, 0.1)) / 4
    assert scores.chamfer == pytest.approx((there + back) / 2 / 2)


def test_a_joint_is_matched_once():
    """Twice the same prediction costs precision; a nearest-neighbour count would not see it."""
    scores = score_joints(np.repeat(LINE, 2, axis=0), LINE, tolerance=0.1, size=1.0)
    assert scores.chamfer == 0
    assert (scores.precision, scores.recall) == (0.5, 1.0)
    assert scores.iou == pytest.approx(2 * 4 / 12)


def test_iou_is_the_harmonic_mean_and_scale_cancels():
    a, b = rng(2).normal(size=(9, 3)), rng(3).normal(size=(14, 3))
    tolerance = rng(4).uniform(0.2, 1.5, 14)
    one = score_joints(a, b, tolerance=tolerance, size=2.0)
    assert one.iou == pytest.approx(2 / (1 / one.precision + 1 / one.recall))
    other = score_joints(7 * a, 7 * b, tolerance=7 * tolerance, size=14.0)
    assert other.chamfer == pytest.approx(one.chamfer)
    assert other.iou == one.iou
    assert score_joints(a, b, tolerance=0.0, size=2.0).iou == 0


def test_each_reference_joint_has_its_own_tolerance():
    shifted = LINE + np.array([0, 0.1, 0])
    scores = score_joints(shifted, LINE, tolerance=np.array([0.2, 0.05, 0.2, 0.05]), size=1.0)
    assert scores.recall == 0.5


def test_empty_sets_and_sizes_are_refused():
    with pytest.raises(ValueError, match="both sets must have joints, got 0 predicted and 4"):
        score_joints(LINE[:0], LINE, tolerance=1.0, size=1.0)
    with pytest.raises(ValueError, match="size must be positive, got 0"):
        score_joints(LINE, LINE, tolerance=1.0, size=0.0)


def test_local_radius_of_a_sphere_is_its_radius():
    surface = rng().normal(size=(4000, 3))
    surface *= 0.3 / np.linalg.norm(surface, axis=1, keepdims=True)
    assert local_radius(np.zeros((1, 3)), surface) == pytest.approx([0.3])


def test_clouds_merge_to_their_joints():
    joints = rng().uniform(-1, 1, (10, 3))
    cloud = np.repeat(joints, 5, axis=0) + rng(1).normal(0, 0.003, (50, 3))
    stray = np.array([[5.0, 5, 5]])
    found = merge_points(np.concatenate([cloud, stray]), distance=0.05, least=2)
    assert score_joints(found, joints, tolerance=0.01, size=1.0).iou == 1
    assert len(merge_points(np.concatenate([cloud, stray]), distance=0.05)) == 11
    assert len(merge_points(cloud, distance=10.0)) == 1
    assert len(merge_points(joints, distance=1e-6, least=2)) == 10  # All are strays: none is.
    assert len(merge_points(stray, distance=1.0)) == 1
    with pytest.raises(ValueError, match="expected points and a positive distance"):
        merge_points(cloud, distance=0.0)


def test_spanning_tree_has_the_least_length_and_a_root():
    parents = spanning_parents(LINE)
    assert parents.count(-1) == 1
    assert parents[1 if parents[1] == -1 else 2] == -1
    lengths = [np.linalg.norm(LINE[i] - LINE[p]) for i, p in enumerate(parents) if p >= 0]
    assert lengths == [1.0] * 3
    assert spanning_parents(np.zeros((3, 3))).count(-1) == 1  # Coincident joints are connected.
    assert spanning_parents(LINE[:1]) == [-1]


def points(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 80, 3, generator=generator, dtype=torch.float64)


def test_farthest_points_are_those_of_the_definition():
    cloud = points()
    index = farthest_points(cloud, 10)
    for row, chosen in zip(cloud, index, strict=True):
        assert chosen[0] == row.norm(dim=-1).argmax()
        for i in range(1, 10):
            nearest = torch.cdist(row, row[chosen[:i]]).amin(1)
            assert chosen[i] == nearest.argmax()
    with pytest.raises(ValueError, match="at least 81 surface points are needed, got 80"):
        farthest_points(cloud, 81)


def test_moments_do_not_know_the_order_of_the_points():
    cloud = points()
    moments = surface_moments(cloud, 12)
    assert moments.scalars.shape == (2, 12, NUM_SCALARS)
    assert moments.vectors.shape == (2, 12, NUM_VECTORS, 3)
    other = surface_moments(cloud[:, torch.randperm(80)], 12)
    torch.testing.assert_close(other.scalars, moments.scalars)
    torch.testing.assert_close(other.vectors, moments.vectors)


def test_moments_are_those_of_a_weighted_mean():
    cloud = points()
    moments = surface_moments(cloud, 4)
    place = moments.places[1, 2]
    for i, width in enumerate((0.8, 0.4, 0.2, 0.1)):
        weights = torch.exp(-0.5 * (cloud[1] - place).square().sum(-1) / width**2)
        mean = (weights[:, None] * cloud[1]).sum(0) / weights.sum()
        torch.testing.assert_close(moments.vectors[1, 2, 1 + 3 * i], (mean - place) / width)
        centred = cloud[1] - mean
        covariance = torch.einsum("n,ni,nj->ij", weights, centred, centred) / weights.sum()
        expected = covariance @ place / width**2
        torch.testing.assert_close(moments.vectors[1, 2, 2 + 3 * i], expected)
