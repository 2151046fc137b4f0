"""Laws of the interpolants, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from geoflow.interpolant import (
    INTERPOLANTS,
    Interpolant,
    Linear,
    VarianceExploding,
    VariancePreserving,
)
from geoflow.prediction import PREDICTIONS

every_path = pytest.mark.parametrize("key", INTERPOLANTS)


def path_of(key: str) -> Interpolant:
    return INTERPOLANTS[key]()


def grid() -> Tensor:
    return torch.linspace(0.02, 0.98, 25, dtype=torch.float64)


@every_path
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_path_ends_at_the_data_exactly(key: str, dtype: torch.dtype) -> None:
    path, one = path_of(key), torch.ones(4, dtype=dtype)
    x0, x1 = torch.randn(2, 4, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    assert torch.equal(path.interpolate(x0, x1, one), x1)
    assert not torch.equal(path.interpolate(x0, x1, 0.99 * one), x1)


@every_path
def test_the_path_starts_at_the_noise(key: str) -> None:
    path, zero = path_of(key), torch.zeros(4, dtype=torch.float64)
    x0, x1 = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # The exploding path adds noise to the data; the others leave no data at t = 0.
    start = 80 * x0 + x1 if isinstance(path, VarianceExploding) else x0
    torch.testing.assert_close(path.interpolate(x0, x1, zero), start, rtol=1e-12, atol=1e-12)


@every_path
@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_derivatives_are_those_of_the_values(key: str, name: str) -> None:
    path, t = path_of(key), grid()
    _, expected = torch.func.jvp(getattr(path, name), (t,), (torch.ones_like(t),))
    actual = getattr(path, f"{name}_dot")(t)
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-11)


@every_path
def test_noise_falls_and_signal_over_noise_rises(key: str) -> None:
    path, t = path_of(key), grid()
    assert bool((path.alpha(t).diff() < 0).all())
    assert bool(((path.beta(t) / path.alpha(t)).diff() > 0).all())


@every_path
def test_areas_are_the_closed_form_of_their_definition(key: str) -> None:
    path, t = path_of(key), grid()
    r = t + 0.3 * (1 - t)
    area = path.alpha(t) * path.beta(r) - path.alpha(r) * path.beta(t)
    rate = path.alpha(t) * path.beta_dot(t) - path.alpha_dot(t) * path.beta(t)
    torch.testing.assert_close(path.area(t, r), area, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(path.area_rate(t), rate, rtol=1e-10, atol=1e-12)
    assert torch.equal(path.area(t, t), torch.zeros_like(t))


@every_path
@pytest.mark.parametrize("gap", [1e-4, 1e-3, 1e-2, 0.1, 0.5])
def test_single_precision_keeps_near_times_apart(key: str, gap: float) -> None:
    """Areas and coefficients of float32 times are those of float64, to a few roundings."""
    path = path_of(key)
    t = torch.linspace(0, 1, 400)[1:-1]
    r = torch.minimum(t + gap, torch.ones_like(t))

    def error(f: Callable[..., Tensor], *times: Tensor) -> float:
        exact = f(*(time.double() for time in times))
        return float((f(*times).double() / exact - 1).abs().max())

    assert error(path.area, t, r) < 1e-6
    for name in ("alpha", "beta", "area_rate"):
        assert error(getattr(path, name), t) < 1e-6
    # Two errors add up in P and Q, which are ratios.
    inside = r < 1
    for kind in PREDICTIONS.values():
        coefficients = kind(path).coefficients
        p = error(lambda *times, f=coefficients: f(*times)[0], t[inside], r[inside])
        q = error(lambda *times, f=coefficients: f(*times)[1], t[inside], r[inside])
        assert max(p, q) < 2e-6
    # The difference of products loses the digits that the two have in common.
    if gap == 1e-4 and key in ("vp", "ve"):
        naive = path.alpha(t) * path.beta(r) - path.alpha(r) * path.beta(t)
        assert (naive.double() / path.area(t.double(), r.double()) - 1).abs().max() > 1e-4


@every_path
def test_velocity_is_the_derivative_of_the_path(key: str) -> None:
    path, t = path_of(key), grid()
    x0, x1 = torch.randn(2, len(t), 3, dtype=t.dtype, generator=torch.Generator().manual_seed(1))
    _, expected = torch.func.jvp(lambda t: path.interpolate(x0, x1, t), (t,), (torch.ones_like(t),))
    torch.testing.assert_close(path.velocity(x0, x1, t), expected, rtol=1e-11, atol=1e-11)
    other = Linear() if key != "linear" else VarianceExploding()
    assert not torch.allclose(other.velocity(x0, x1, t), expected)


@every_path
def test_single_precision_keeps_small_noise_levels(key: str) -> None:
    path = path_of(key)
    t = 1 - torch.logspace(-4, -1, 20)
    relative = path.alpha(t).double() / path.alpha(t.double()) - 1
    assert relative.abs().max().item() < 1e-5


# Of the table that models of published versions were trained with.
NOISE_TIMES = {
    "linear": (1.1, 2.0),
    "vp": (2.3, 1.7),
    "ve": (0.8, 1.0),
    "trigonometric": (1.1, 2.1),
}


def share_of_noise(path: Interpolant, mean: float, std: float) -> float:
    """Share of logit-normal times at which noise is between 0.01 and 10 times the data."""
    z = torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    t = torch.sigmoid(mean + std * z)
    noise = path.alpha(t) / path.beta(t)
    return ((noise > 0.01) & (noise < 10)).double().mean().item()


@pytest.mark.parametrize("key", NOISE_TIMES)
def test_times_of_noise_are_those_that_models_were_trained_with(key: str) -> None:
    assert path_of(key).noise_times() == NOISE_TIMES[key]


@every_path
def test_times_of_noise_are_near_their_derivation(key: str) -> None:
    path = path_of(key)
    mean, std = Interpolant.noise_times(path)
    chosen = path.noise_times()
    assert mean == pytest.approx(chosen[0], abs=0.25)
    assert std == pytest.approx(chosen[1], rel=0.31)
    assert share_of_noise(path, mean, std) > 0.85
    assert share_of_noise(path, mean + 2 * std, std) < 0.75
    assert share_of_noise(path, mean - 2 * std, std) < 0.75


def test_times_of_noise_are_derived_for_other_paths() -> None:
    """The logit of the linear path is minus the logarithm of the noise, uniform here."""
    middle, width = math.log(10) / 2, 3 * math.log(10)
    expected = pytest.approx((middle, width / 12**0.5), rel=5e-3)
    assert Interpolant.noise_times(Linear()) == expected
    for path in (VarianceExploding(sigma_max=5.0), VariancePreserving(beta_max=10.0)):
        times = path.noise_times()
        assert times == Interpolant.noise_times(path)
        assert all(map(math.isfinite, times))
        assert times not in NOISE_TIMES.values()
