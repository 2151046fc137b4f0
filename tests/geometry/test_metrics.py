"""Metrics against brute force, and 1-NNA at its two extremes."""

import numpy as np
import pytest

from geoflow.geometry.metrics import (
    chamfer_distance,
    one_nn_accuracy,
    pairwise_chamfer,
    volume_iou,
)


def clouds(num, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(40, 3)) * rng.uniform(0.5, 1.5, 3) + shift for _ in range(num)]


def brute_force(a, b):
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return (distance.min(1).mean() + distance.min(0).mean()) / 2


def test_chamfer_equals_brute_force_and_moves_rigidly():
    a, b = clouds(2, 0)
    np.testing.assert_allclose(chamfer_distance(a, b), brute_force(a, b), rtol=1e-12)
    assert chamfer_distance(a, a) == 0.0
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(
        chamfer_distance(a @ turn + 10, b[::-1] @ turn + 10), chamfer_distance(a, b), rtol=1e-9
    )
    assert chamfer_distance(a, b + 0.5) != pytest.approx(chamfer_distance(a, b))


def test_pairwise_equals_one_by_one():
    a, b = clouds(4, 1), clouds(3, 2)
    expected = [[brute_force(x, y) for y in b] for x in a]
    np.testing.assert_allclose(pairwise_chamfer(a, b), expected, rtol=1e-12)
    within = [[brute_force(x, y) for y in a] for x in a]
    np.testing.assert_allclose(pairwise_chamfer(a), within, rtol=1e-12)


def test_one_nn_accuracy_is_half_on_halves_and_one_on_strangers():
    def accuracy(a, b):
        return one_nn_accuracy(pairwise_chamfer(a), pairwise_chamfer(b), pairwise_chamfer(a, b))

    everything = clouds(160, 3)
    halves = accuracy(everything[:80], everything[80:])
    assert abs(halves.value - 0.5) < 3.5 * 0.04
    np.testing.assert_allclose(
        halves.standard_error, np.sqrt(halves.value * (1 - halves.value) / 160)
    )
    strangers = accuracy(clouds(20, 4), clouds(20, 5, shift=4.0))
    assert strangers.value == 1.0
    with pytest.raises(ValueError, match="expected matrices"):
        one_nn_accuracy(np.zeros((2, 2)), np.zeros((3, 3)), np.zeros((3, 2)))


def test_volume_iou_counts():
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert volume_iou(a, b) == pytest.approx(1 / 3)
    assert volume_iou(a, a) == 1.0
    assert volume_iou(a & ~a, a & ~a) == 1.0
    with pytest.raises(ValueError, match="one shape"):
        volume_iou(a, b[:2])
