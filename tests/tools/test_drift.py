"""Many samples drift together, and their way leads others along."""

import torch
from told_data import seeded

from geoflow_tools.bench.energy import energy_distance
from geoflow_tools.fit_jumps.drift import Drift

AXES = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])


def shapes(num, seed):
    """A ring along the axes, and something beside them."""
    angle = 2 * torch.pi * torch.rand(num, generator=seeded(seed))
    ring = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    ring = ring + 0.15 * torch.randn(num, 2, generator=seeded(seed + 50))
    beside = torch.randn(num, 1, generator=seeded(seed + 100)) @ torch.tensor([[0.0, -0.8, 0.6]])
    return (ring @ AXES + beside).view(num, 1, 3)


def drawn(num, seed):
    """A disc of the same mean and spread, which no calibration moves."""
    return 1.42 * torch.randn(num, 1, 3, generator=seeded(seed))


def along(x):
    return x.flatten(1) @ AXES.T


def test_other_samples_follow_and_keep_what_lies_beside_the_axes():
    way = Drift.fit(shapes(900, 1), drawn(900, 2), AXES)
    others = drawn(600, 3)
    moved = way(others)
    assert moved.shape == others.shape
    ring = along(shapes(600, 4))
    before, after = (energy_distance(along(x), ring) for x in (others, moved))
    assert after < 0.2 * before
    outside = [(torch.cdist(along(x), ring).amin(1) > 0.3).float().mean() for x in (others, moved)]
    assert outside[1] < 0.2 * outside[0], outside
    beside = torch.tensor([0.0, -0.8, 0.6])
    torch.testing.assert_close(moved.flatten(1) @ beside, others.flatten(1) @ beside)


def test_the_mean_of_several_ways_depends_less_on_the_samples():
    data, others = shapes(300, 8), drawn(200, 9)
    samples = drawn(2_500, 10)
    alone = [Drift.fit(data, some, AXES)(others) for some in samples.split(300)[:8]]
    # A rest of 50 is left.
    several = [Drift.fit(data, some, AXES) for some in samples.split(1_250)]
    assert [len(way.ways) for way in several] == [4, 4]
    torch.testing.assert_close(several[0](others), torch.stack(alone[:4]).mean(0))
    apart = [(a - b).square().mean() for a, b in (alone[:2], [way(others) for way in several])]
    assert apart[1] < 0.5 * apart[0]


def test_samples_that_are_data_stay():
    way = Drift.fit(shapes(3_000, 5), shapes(3_000, 6), AXES)
    others = shapes(600, 7)
    assert (way(others) - others).flatten(1).norm(dim=1).mean() < 0.15
    # Of unequal numbers, as many are taken: more data than samples would draw both apart.
    fewer = Drift.fit(shapes(3_000, 5), shapes(1_000, 6), AXES)
    assert len(fewer.data) == len(fewer.ways[0][0][0]) == 1_000
