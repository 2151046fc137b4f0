"""Laws of the pairs of times."""

from __future__ import annotations

import pytest
import torch

from geoflow.times import (
    TIME_PAIRS,
    LogitNormalPairs,
    TimePairs,
    UniformPairs,
    expand_time,
    power_grid,
)

NUM = 40_000
# Four standard deviations of a share counted in NUM draws.
TOLERANCE = 4 * 0.5 / NUM**0.5


def shares(pairs: TimePairs) -> tuple[float, float]:
    t, r = pairs.sample(NUM, generator=torch.Generator().manual_seed(0))
    return (r == t).double().mean().item(), (r == 1).double().mean().item()


@pytest.mark.parametrize("diagonal", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("end", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("key", TIME_PAIRS)
def test_shares_of_the_diagonal_and_of_the_end(key: str, end: float, diagonal: float) -> None:
    on_diagonal, at_end = shares(TIME_PAIRS[key](diagonal=diagonal, end=end))
    assert on_diagonal == pytest.approx(diagonal, abs=TOLERANCE)
    assert at_end == pytest.approx((1 - diagonal) * end, abs=TOLERANCE)


def test_an_inverted_share_is_seen() -> None:
    on_diagonal, _ = shares(UniformPairs(diagonal=0.7))
    assert abs(on_diagonal - 0.3) > TOLERANCE


@pytest.mark.parametrize("key", TIME_PAIRS)
def test_times_are_ordered_inside_the_unit_interval(key: str) -> None:
    pairs = TIME_PAIRS[key](diagonal=0.2, end=0.3)
    t, r = pairs.sample(NUM, generator=torch.Generator().manual_seed(1))
    assert bool((t >= 0).all() and (t <= r).all() and (r <= 1).all() and (t < 1).all())


def test_the_diagonal_is_uniform_not_the_smaller_of_two_draws() -> None:
    t, r = UniformPairs(diagonal=0.5).sample(NUM, generator=torch.Generator().manual_seed(2))
    assert t[t == r].mean().item() == pytest.approx(0.5, abs=0.01)
    assert t[t < r].mean().item() == pytest.approx(1 / 3, abs=0.01)


def test_pairs_are_a_function_of_the_generator() -> None:
    first, second, other = (
        UniformPairs().sample(8, generator=torch.Generator().manual_seed(seed))[0]
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("key", TIME_PAIRS)
def test_a_share_outside_the_unit_interval_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"diagonal must be in \[0, 1\], got 1.5"):
        TIME_PAIRS[key](diagonal=1.5)


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
def test_a_time_multiplies_its_own_example(shape: tuple[int, ...]) -> None:
    t, x = torch.arange(5.0), torch.ones(shape)
    product = expand_time(t, like=x) * x
    assert product.shape == shape
    assert torch.equal(product.reshape(5, -1).mean(1), t)


@pytest.mark.parametrize("key", TIME_PAIRS)
def test_the_grid_cuts_the_distribution_into_equal_parts(key: str) -> None:
    pairs = TIME_PAIRS[key](diagonal=1.0)
    grid = pairs.grid(5)
    assert grid[0] == 0
    assert grid[-1] == 1
    t, _ = pairs.sample(NUM, generator=torch.Generator().manual_seed(4))
    found = torch.histogram(t, grid).hist / NUM
    torch.testing.assert_close(found, torch.full((5,), 0.2), atol=TOLERANCE, rtol=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        pairs.grid(0)


def test_a_power_makes_the_first_jumps_short() -> None:
    grid = power_grid(4, 3.0)
    assert grid.tolist() == [0.0, 1 / 64, 1 / 8, 27 / 64, 1.0]
    assert (power_grid(4, 0.5).diff().diff() < 0).all()
    # Twin: power 1 is even, to the bit, as samplers are by default.
    assert torch.equal(power_grid(7, 1.0), torch.linspace(0, 1, 8, dtype=torch.float64))
    # From a later start they are equal in the same clock, and even ones stay so, to the bit.
    late = power_grid(2, 2.0, 0.25)
    assert late.tolist() == pytest.approx([0.25, 0.75**2, 1.0])
    assert torch.equal(power_grid(3, 1.0, 0.6), torch.linspace(0.6, 1, 4, dtype=torch.float64))
    for start in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"start must be in \[0, 1\), got"):
            power_grid(2, 3.0, start)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        power_grid(0, 3.0)
    for power in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="power must be above 0, got"):
            power_grid(2, power)


def test_the_grid_of_another_distribution_does_not() -> None:
    t, _ = LogitNormalPairs(diagonal=1.0).sample(NUM, generator=torch.Generator().manual_seed(4))
    found = torch.histogram(t, UniformPairs().grid(5)).hist / NUM
    assert (found - 0.2).abs().max() > 5 * TOLERANCE
