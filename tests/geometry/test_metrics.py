"""Metrics against brute force, and 1-NNA at its two extremes."""

from itertools import permutations

import numpy as np
import pytest
import trimesh
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from geoflow.geometry.metrics import (
    DISTANCES,
    METRICS,
    chamfer_distance,
    chamfer_distance_squared,
    earth_movers_distance,
    f_score,
    is_edge_manifold,
    is_single_component,
    is_watertight,
    jensen_shannon_divergence,
    normal_consistency,
    one_nn_accuracy,
    pairwise_chamfer,
    volume_iou,
)
from geoflow.geometry.metrics.estimate import mean, share
from geoflow.geometry.metrics.jsd import outside_share
from geoflow.geometry.metrics.normalise import NORMALISATIONS


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


def test_one_nn_accuracy_shares_ties_and_tells_both_halves():
    """Samples that are all one reference, and references far apart, meet at 50 of 100 and 0."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(40, 1))
    copies = np.repeat(reference[:1], 40, axis=0)
    found = one_nn_accuracy(abs(copies - copies.T), abs(reference - reference.T),
                            abs(copies - reference.T))  # fmt: skip
    # Each copy has 39 copies and one reference at distance 0.
    assert found.samples == pytest.approx(39 / 40)
    assert found.value == pytest.approx((found.samples + found.references) / 2)
    # All at one distance: each counts by the share of its set among the others.
    same = np.zeros((10, 10))
    assert one_nn_accuracy(same, same, same).value == pytest.approx(9 / 19)
    assert one_nn_accuracy(same, same[:5, :5], same[:, :5]).references == pytest.approx(4 / 14)


def test_matrices_that_do_not_fit_are_refused(unchecked):
    with pytest.raises(ValueError, match="expected matrices"):
        one_nn_accuracy(np.zeros((2, 2)), np.zeros((3, 3)), np.zeros((3, 2)))


def test_volume_iou_counts():
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert volume_iou(a, b) == pytest.approx(1 / 3)
    assert volume_iou(a, a) == 1.0
    assert volume_iou(a & ~a, a & ~a) == 1.0


def test_occupancies_of_other_points_are_refused(unchecked):
    a = np.array([1, 1, 0, 0], bool)
    with pytest.raises(ValueError, match="one shape"):
        volume_iou(a, a[:2])


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_zero_on_a_permutation_symmetric_and_move_rigidly(name):
    a, b = clouds(2, 6)
    distance = METRICS[name]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert distance(a, a[::-1]) == pytest.approx(0.0, abs=1e-12)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-12)
    assert distance(a @ turn + 10, b[::-1] @ turn + 10) == pytest.approx(distance(a, b), rel=1e-9)
    assert distance(a, b @ turn) != pytest.approx(distance(a, b), rel=1e-3)


@pytest.mark.parametrize(("name", "power"), [("chamfer", 1), ("chamfer_squared", 2), ("emd", 1)])
def test_distances_scale_as_their_power_says(name, power):
    a, b = clouds(2, 7)
    distance = METRICS[name]
    assert distance(3 * a, 3 * b) == pytest.approx(3**power * distance(a, b), rel=1e-9)


def test_pairwise_squared_equals_one_by_one():
    a, b = clouds(3, 1), clouds(2, 2)
    expected = [[chamfer_distance_squared(x, y) for y in b] for x in a]
    np.testing.assert_allclose(pairwise_chamfer(a, b, squared=True), expected, rtol=1e-12)


def test_emd_is_the_best_of_all_matchings():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 3))
    cost = np.linalg.norm(a[:, None] - b[None], axis=-1)
    every = [np.mean([cost[i, j] for i, j in enumerate(p)]) for p in permutations(range(6))]
    assert earth_movers_distance(a, b) == pytest.approx(min(every), rel=1e-12)
    assert earth_movers_distance(a, b) < every[0]


def test_emd_equals_an_assignment_of_many_points_and_bounds_chamfer():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 300, 3)) * [[[1.0]], [[2.0]]]
    cost = cdist(a, b)
    expected = cost[linear_sum_assignment(cost)].mean()
    assert earth_movers_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert earth_movers_distance(a, b) > chamfer_distance(a, b)


def _places(num, seed):
    """300 points at few places, which many matchings tie on."""
    rng = np.random.default_rng(seed)
    return np.random.default_rng(0).normal(size=(num, 3))[rng.integers(num, size=300)]


def _clusters(seed):
    return _places(5, seed) + 1e-3 * np.random.default_rng(seed).normal(size=(300, 3))


_LATTICE = np.stack(np.meshgrid(*[np.arange(7.0)] * 3), -1).reshape(-1, 3)[:300]
_LINE = np.arange(300.0)[:, None] * [[1.0, 0.0, 0.0]]
DEGENERATE = {
    "equal": (_LATTICE, _LATTICE),
    "one place each": (np.zeros((300, 3)), np.ones((300, 3))),
    "few places": (_places(5, 1), _places(5, 2)),
    "half of one place": (_places(300, 1) * (np.arange(300) < 150)[:, None], _places(300, 2)),
    "clusters": (_clusters(1), _clusters(2)),
    "lattice, one step": (_LATTICE, _LATTICE + np.array([1.0, 0.0, 0.0])),
    "lattice, half a step": (_LATTICE, _LATTICE[::-1] + 0.5),
    "line, turned round": (_LINE, _LINE[::-1] + 7.0),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_emd_is_the_optimum_of_another_solver_where_matchings_tie(name):
    """Pivots that change nothing, of which a simplex can make too many."""
    a, b = (np.asarray(points, dtype=float) for points in DEGENERATE[name])
    cost = cdist(a, b)
    best = cost[linear_sum_assignment(cost)].mean()
    assert earth_movers_distance(a, b) == pytest.approx(best, rel=1e-12, abs=1e-12)
    # Twin: matchings of these clouds differ, except where all points of each are alike.
    as_they_come, shifted = np.diag(cost).mean(), np.diag(np.roll(cost, 3, axis=1)).mean()
    assert max(as_they_come, shifted) > best or name == "one place each"


def test_jsd_is_zero_on_itself_and_one_on_strangers():
    a, b = clouds(3, 8), clouds(3, 9)
    assert jensen_shannon_divergence(a, a) == pytest.approx(0.0, abs=1e-12)
    assert 0.0 < jensen_shannon_divergence(a, b) < 1.0
    left, right = np.full((5, 3), -0.4), np.full((7, 3), 0.4)
    assert jensen_shannon_divergence([left], [right]) == pytest.approx(1.0)
    # Twice the cube, twice the points: only their ratio counts.
    assert jensen_shannon_divergence(
        [2 * x for x in a], [2 * x for x in b], half_extent=2.0
    ) == pytest.approx(jensen_shannon_divergence(a, b), abs=1e-9)
    with pytest.raises(ValueError, match="at least one cloud"):
        jensen_shannon_divergence([], b)


def test_points_outside_the_sphere_count_at_its_rim_and_are_told():
    far, rim = np.array([[50.0, 0.01, 0.02]] * 4), np.array([[1.0, 0.01, 0.02]] * 4)
    inner = np.array([[0.9, 0.01, 0.02]] * 4)
    assert jensen_shannon_divergence([far], [rim]) == pytest.approx(0.0, abs=1e-12)
    assert outside_share([far, inner]) == 0.5
    assert outside_share([inner]) == 0.0
    assert jensen_shannon_divergence([far], [inner / 2]) == pytest.approx(1.0)


def test_f_score_counts_points_within_the_threshold():
    a = np.array([[0.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0]])
    b = np.array([[0.1, 0, 0], [1.1, 0, 0]])
    # Two of three are near b; both of b are near a.
    assert f_score(a, b, threshold=0.2) == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert f_score(a, b, threshold=0.05) == 0.0
    assert f_score(a, a, threshold=0.05) == 1.0
    with pytest.raises(ValueError, match="must be positive"):
        f_score(a, b, threshold=0.0)


def test_normal_consistency_of_spheres_flips_and_quarter_turns():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert normal_consistency(normals, normals, 2 * normals, -normals) == pytest.approx(1.0)
    turned = np.cross(normals, normals[:, [1, 2, 0]])
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    assert normal_consistency(normals, normals, normals, turned) == pytest.approx(0.0, abs=1e-12)
    other = rng.permutation(normals)
    assert normal_consistency(normals, normals, normals, other) == pytest.approx(0.5, abs=0.05)


def test_meshes_with_a_hole_a_fin_and_two_parts():
    def answers(mesh):
        return is_watertight(mesh), is_edge_manifold(mesh), is_single_component(mesh)

    box = trimesh.creation.box()
    assert answers(box) == (True, True, True)
    assert answers(trimesh.Trimesh(box.vertices, box.faces[1:])) == (False, True, True)
    fin = np.vstack([box.faces, [*box.faces[0][:2], len(box.vertices)]])
    tip = np.vstack([box.vertices, [3.0, 3.0, 3.0]])
    assert answers(trimesh.Trimesh(tip, fin)) == (False, False, True)
    two = trimesh.util.concatenate([box, box.copy().apply_translation([3, 0, 0])])
    assert answers(two) == (True, True, False)


def test_standard_errors_equal_those_of_repeated_draws():
    rng = np.random.default_rng(0)
    draws = rng.random((4000, 50))
    assert share(draws[0] < 0.3).standard_error == pytest.approx(
        np.std([share(d < 0.3).value for d in draws]), rel=0.15
    )
    assert np.mean([mean(d).standard_error for d in draws]) == pytest.approx(
        np.std([mean(d).value for d in draws]), rel=0.05
    )
    assert mean(draws[0][:1]).standard_error is None
    for empty in (share, mean):
        with pytest.raises(ValueError, match="at least one"):
            empty(np.zeros(0, bool if empty is share else float))


def test_normalisations_put_shapes_where_they_say():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4, 30, 3)) * rng.uniform(1, 3, (4, 1, 3)) + 5
    reference = rng.normal(size=(3, 30, 3)) - 2
    a, b = NORMALISATIONS["box"](samples, reference)
    for clouds_ in (a, b):
        np.testing.assert_allclose(clouds_.max(1) + clouds_.min(1), 0, atol=1e-12)
        np.testing.assert_allclose(clouds_.max((1, 2)), 1)
    a, b = NORMALISATIONS["sphere"](samples, reference)
    for clouds_ in (a, b):
        np.testing.assert_allclose(clouds_.mean(1), 0, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(clouds_, axis=-1).max(1), 1)
    a, b = NORMALISATIONS["global"](samples, reference)
    assert np.abs(b).max() == pytest.approx(1)
    # One similarity for all: ratios of distances between the sets stay.
    ratio = np.linalg.norm(a[0] - b[0], axis=-1) / np.linalg.norm(
        samples[0] - reference[0], axis=-1
    )
    np.testing.assert_allclose(ratio, ratio[0])
    assert NORMALISATIONS["none"](samples, reference)[0] is samples
    with pytest.raises(ValueError, match="without extent"):
        NORMALISATIONS["box"](np.ones((1, 5, 3)), reference)


def test_bad_clouds_are_refused(unchecked):
    good = np.zeros((4, 3))
    for distance in (chamfer_distance, chamfer_distance_squared, earth_movers_distance):
        with pytest.raises(ValueError, match="shape"):
            distance(np.zeros((4, 2)), good)
        with pytest.raises(ValueError, match="finite"):
            distance(np.full((4, 3), np.nan), good)
    with pytest.raises(ValueError, match="one shape"):
        earth_movers_distance(np.zeros((3, 3)), good)
