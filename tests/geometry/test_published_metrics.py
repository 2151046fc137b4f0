"""PointFlow's definitions, written again as plain loops, give the same numbers.

Reference: Yang et al., "PointFlow", 2019, arXiv:1906.12320, and its published evaluation.
"""

import math
from itertools import permutations

import numpy as np
import pytest

from geoflow.geometry.metrics import (
    METRICS,
    coverage,
    jensen_shannon_divergence,
    minimum_matching_distance,
    one_nn_accuracy,
)


def pointflow_chamfer(a, b):
    there = [min(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) for y in b) for x in a]
    back = [min(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) for x in a) for y in b]
    return sum(there) / len(there) + sum(back) / len(back)


def matching(a, b):
    """The optimum that PointFlow's kernel approximates, over the number of points."""
    costs = [
        sum(math.dist(a[i], b[j]) for i, j in enumerate(order))
        for order in permutations(range(len(b)))
    ]
    return min(costs) / len(a)


LOOPS = {"chamfer_squared": pointflow_chamfer, "emd": matching}


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(3)
    return rng.normal(size=(7, 5, 3)) * 0.2, rng.normal(size=(5, 5, 3)) * 0.25 + 0.05


@pytest.fixture(scope="module", params=LOOPS)
def matrices(request, sets):
    """Ours and theirs, of samples, of references, and between."""
    samples, reference = (list(s) for s in sets)
    pairs = [(samples, samples), (reference, reference), (samples, reference)]
    return tuple(
        [np.array([[distance(x, y) for y in b] for x in a]) for a, b in pairs]
        for distance in (METRICS[request.param], LOOPS[request.param])
    )


def test_distances(matrices):
    for ours, theirs in zip(*matrices, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_one_nn_accuracy(matrices):
    ours, (samples, reference, between) = matrices
    m, n = between.shape

    def distance(i, j):
        if i < m and j < m:
            return samples[i][j]
        if i >= m and j >= m:
            return reference[i - m][j - m]
        return between[min(i, j)][max(i, j) - m]

    right = 0
    for i in range(m + n):
        others = [(distance(i, j), j) for j in range(m + n) if j != i]
        right += (min(others)[1] < m) == (i < m)
    assert one_nn_accuracy(*ours).value == right / (m + n)
    assert 0 < right < m + n


def test_minimum_matching_distance_and_coverage(matrices):
    ours, (_, _, between) = matrices
    m, n = between.shape
    nearest_sample = [min(between[i][j] for i in range(m)) for j in range(n)]
    assert minimum_matching_distance(ours[2]).value == pytest.approx(sum(nearest_sample) / n)
    matched = {min(range(n), key=lambda j: between[i][j]) for i in range(m)}
    assert coverage(ours[2]).value == len(matched) / n
    # The roles of the sets are not to be exchanged.
    assert minimum_matching_distance(ours[2].T).value != pytest.approx(sum(nearest_sample) / n)


def test_jensen_shannon_divergence():
    """Counts of points at the grid in the sphere, and Kullback-Leibler sums instead of entropies.

    The cube's half extent is 1/2, the grid's spacing 1/27; some points lie outside the sphere.
    """
    spacing = 1 / 27
    axis = [i * spacing - 0.5 for i in range(28)]
    grid = np.array([(x, y, z) for x in axis for y in axis for z in axis])
    inside = grid[(grid**2).sum(1) <= 0.25 + 1e-12]
    rng = np.random.default_rng(4)
    samples, reference = (rng.normal(size=(3, 300, 3)) * scale for scale in (0.1, 0.15))
    assert any((s**2).sum(-1).max() > 0.25 for s in (samples, reference))
    counts = []
    for clouds in (samples, reference):
        count = {}
        for point in clouds.reshape(-1, 3):
            cell = int(((inside - point) ** 2).sum(1).argmin())
            count[cell] = count.get(cell, 0) + 1
        total = sum(count.values())
        counts.append({cell: number / total for cell, number in count.items()})
    p, q = counts
    bits = 0.0
    for one in (p, q):
        for cell, probability in one.items():
            middle = (p.get(cell, 0) + q.get(cell, 0)) / 2
            bits += 0.5 * probability * math.log2(probability / middle)
    ours = jensen_shannon_divergence(samples, reference, half_extent=0.5)
    assert ours == pytest.approx(bits, abs=1e-12)
    assert 0.1 < bits < 0.99
    assert jensen_shannon_divergence(samples, reference, half_extent=0.6) != pytest.approx(bits)
