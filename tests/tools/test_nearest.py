"""What is found of the nearest by exact EMD is what all distances say; few are solved for it."""

import numpy as np
import pytest

from geoflow.geometry.metrics import coverage, minimum_matching_distance, one_nn_accuracy
from geoflow.geometry.metrics.emd import (
    distances_between,
    dual_bound,
    earth_movers_distance,
    lipschitz_values,
    transport,
)
from geoflow_tools.evaluation.nearest import NearestByEmd


def shapes(num, seed, points=24):
    """Points of boxes of many sizes, in turned clusters, so that some are like others."""
    rng = np.random.default_rng(seed)
    extents = rng.choice([0.2, 0.5, 1.0], (num, 1, 3)) + 0.03 * rng.normal(size=(num, 1, 3))
    return rng.uniform(-1, 1, (num, points, 3)) * extents


def whole(samples, reference):
    every = np.concatenate([samples, reference])
    found = np.array([[earth_movers_distance(a, b) for b in every] for a in every])
    found = np.triu(found, 1) + np.triu(found, 1).T
    m = len(samples)
    return {"samples": found[:m, :m], "reference": found[m:, m:], "between": found[:m, m:]}


def scores(by):
    nearest = one_nn_accuracy(by["samples"], by["reference"], by["between"])
    return nearest, coverage(by["between"]), minimum_matching_distance(by["between"])


def searched(folder, samples, reference, workers=1):
    search = NearestByEmd(folder, samples, reference, workers=workers)
    steps = list(search.run())
    assert sum(steps) == search.total
    assert min(steps) >= 0
    return search


def test_potentials_are_optimal_and_bounds_are_bounds():
    a, b, c = shapes(3, 0, 60)
    distance = distances_between(a, b)
    solved = transport(distance)
    assert solved.cost == earth_movers_distance(a, b)
    assert solved.first.mean() + solved.second.mean() == pytest.approx(solved.cost, rel=1e-12)
    assert (solved.first[:, None] + solved.second <= distance + 1e-12).all()
    assert dual_bound(distance, solved.first) == pytest.approx(solved.cost, rel=1e-12)
    # Those of another pair, and any, bound it from below.
    for potentials in (transport(distances_between(a, c)).first, np.zeros(60), a[:, 0]):
        assert 0 < dual_bound(distance, potentials) <= solved.cost + 1e-12
    values = lipschitz_values(np.stack([a, b, c]))
    assert values.shape == (96, 3, 60)
    least = np.abs(values[:, 0] - values[:, 1]).mean(1)
    assert 0.3 * solved.cost < least.max() <= solved.cost * (1 + 1e-6)
    # Twin: a function that grows four times as fast as the way bounds nothing.
    assert 4 * least.max() > solved.cost


@pytest.mark.parametrize("points", [1, 24])
def test_scores_are_those_of_all_distances(tmp_path, points):
    samples, reference = shapes(23, 1, points), shapes(17, 2, points)
    search = searched(tmp_path, samples, reference)
    assert scores(search.matrices()) == scores(whole(samples, reference))
    assert np.isfinite(search.matrices()["between"]).all()


def test_few_are_solved_of_many(tmp_path):
    search = searched(tmp_path, shapes(60, 3), shapes(60, 4))
    solved = int((~np.isnan(np.triu(search.value, 1)) & (np.triu(search.value, 1) > 0)).sum())
    assert solved < 0.4 * search.total


def test_copies_share_their_ties(tmp_path):
    reference = shapes(12, 5)
    samples = np.concatenate([reference[:6], reference[:6]])
    found = scores(searched(tmp_path, samples, reference).matrices())
    assert found == scores(whole(samples, reference))
    # Twin: other shapes tie with nothing.
    other = scores(searched(tmp_path / "other", shapes(12, 6), reference).matrices())
    assert other[0].value != found[0].value


@pytest.mark.slow
def test_processes_find_what_one_finds(tmp_path):
    samples, reference = shapes(7, 7), shapes(6, 8)
    one, two = (
        searched(tmp_path / str(workers), samples, reference, workers) for workers in (1, 2)
    )
    assert scores(one.matrices()) == scores(two.matrices())
    both = ~np.isnan(one.value) & ~np.isnan(two.value)
    assert both.sum() > 20
    assert (one.value[both] == two.value[both]).all()


def test_what_is_written_is_not_solved_again(tmp_path):
    samples, reference = shapes(9, 9), shapes(8, 10)
    first = searched(tmp_path, samples, reference)
    again = NearestByEmd(tmp_path, samples, reference)
    assert np.array_equal(again.value, first.value, equal_nan=True)
    files = sorted(tmp_path.iterdir())
    list(again.run())
    assert sorted(tmp_path.iterdir()) == files
    assert scores(again.matrices()) == scores(first.matrices())
