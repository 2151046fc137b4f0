"""Samples drift to where data are."""

import math

import pytest
import torch

from geoflow.objectives.drifting import drifting_field
from geoflow_tools.bench.energy import energy_distance


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def two_modes(num, seed, spread=0.05):
    side = torch.arange(num)[:, None] % 2 * 2.0 - 1
    noise = spread * torch.randn(num, 2, generator=seeded(seed))
    return torch.cat([side, torch.zeros(num, 1)], 1) + noise


def test_field_by_hand():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    # A single datum and a single sample: from one to the other, wherever the point is.
    one = drifting_field(x, torch.tensor([[3.0, 1.0]]), torch.tensor([[2.0, 0.0]]), 0.5)
    torch.testing.assert_close(one, torch.ones(2, 2))
    # At distances 1 and 2 of data, width 2, samples that cancel each other.
    data = torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    samples = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    near = 1 / (1 + math.exp(-0.5))
    expected = torch.tensor([[near - 2 * (1 - near), 0.0]])
    torch.testing.assert_close(drifting_field(x[:1], data, samples, 2.0), expected)
    # Data and samples exchanged: the other way.
    there = drifting_field(x, data, samples, 0.7)
    torch.testing.assert_close(drifting_field(x, samples, data, 0.7), -there)


def test_samples_that_are_the_points_do_not_repel_themselves():
    x, data = two_modes(6, 1), two_modes(6, 2)
    together = drifting_field(x, data, x, 0.3, themselves=True)
    for i, point in enumerate(x):
        others = torch.cat([x[:i], x[i + 1 :]])
        alone = drifting_field(point[None], data, others, 0.3)
        torch.testing.assert_close(together[i], alone[0])


def test_nothing_drifts_among_samples_that_are_data():
    size = [
        drifting_field(two_modes(num, 3), two_modes(num, 4), two_modes(num, 5), 0.3).norm(dim=1)
        for num in (100, 10_000)
    ]
    assert size[1].mean() < 0.2 * size[0].mean() < 0.2
    # Of the points between both, too.
    middle = 0.3 * torch.randn(100, 2, generator=seeded(6))
    still = drifting_field(middle, two_modes(20_000, 7), two_modes(20_000, 8), 0.3)
    assert still.norm(dim=1).mean() < 0.1


def test_a_cloud_becomes_the_data():
    data, x = two_modes(500, 9), torch.randn(500, 2, generator=seeded(10)) + torch.tensor([1.0, 2])
    before = energy_distance(x, two_modes(500, 11))
    for _ in range(60):
        x = x + 0.5 * drifting_field(x, data, x, 0.7, themselves=True)
    assert energy_distance(x, two_modes(500, 11)) < 0.01 * before
    # 82 of 100 began on this side.
    assert 0.4 < (x[:, 0] > 0).float().mean() < 0.6


@pytest.mark.parametrize(
    ("numbers", "width", "themselves", "said"),
    [
        ((5, 0, 5), 1.0, False, "data, samples and a width above 0 are needed, got 0, 5, 1.0"),
        ((5, 5, 0), 1.0, False, "got 5, 0, 1.0"),
        ((5, 5, 5), 0.0, False, "got 5, 5, 0.0"),
        ((5, 5, 4), 1.0, True, "5 points are not 4 samples"),
    ],
)
def test_what_cannot_drift_is_refused(numbers, width, themselves, said):
    x, data, samples = (torch.zeros(n, 2) for n in numbers)
    with pytest.raises(ValueError, match=said):
        drifting_field(x, data, samples, width, themselves=themselves)
