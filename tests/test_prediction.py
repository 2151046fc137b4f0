"""Laws of the predictions over every interpolant, in float64.

The expected coefficients are those of the literature, by the clock or the angle of each
prediction, and share no expression with the code.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cells import every_cell
from torch import Tensor

from geoflow.interpolant import INTERPOLANTS, Interpolant
from geoflow.prediction import PREDICTIONS, Prediction


def build(path_key: str, key: str) -> tuple[Interpolant, Prediction]:
    path = INTERPOLANTS[path_key]()
    return path, PREDICTIONS[key](path)


def times() -> tuple[Tensor, Tensor]:
    t = torch.linspace(0.05, 0.9, 12, dtype=torch.float64).repeat_interleave(3)
    r = t + torch.tensor([0.01, 0.5, 0.97], dtype=torch.float64).repeat(12) * (1 - t)
    return t, r


def table_u(path: Interpolant, t: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    return r - t, torch.ones_like(t)


def table_x1(path: Interpolant, t: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    shrink = path.alpha(r) / path.alpha(t)
    return path.beta(r) - path.beta(t) * shrink, shrink


def table_x0(path: Interpolant, t: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    grow = path.beta(r) / path.beta(t)
    return path.alpha(r) - path.alpha(t) * grow, grow


def table_v(path: Interpolant, t: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    def polar(t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.hypot(path.alpha(t), path.beta(t)), torch.atan2(path.beta(t), path.alpha(t))

    (radius_t, angle_t), (radius_r, angle_r) = polar(t), polar(r)
    turn = angle_r - angle_t
    return radius_r * turn.sin(), radius_r / radius_t * turn.cos()


TABLE: dict[str, Callable[[Interpolant, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "u": table_u,
    "x1": table_x1,
    "x0": table_x0,
    "v": table_v,
}


@pytest.mark.parametrize("key", TABLE)
@pytest.mark.parametrize("path_key", INTERPOLANTS)
def test_coefficients_are_those_of_the_table(path_key: str, key: str) -> None:
    path, prediction = build(path_key, key)
    t, r = times()
    for actual, expected in zip(prediction.coefficients(t, r), TABLE[key](path, t, r), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def test_predictions_differ() -> None:
    path, t, r = INTERPOLANTS["linear"](), *times()
    values = [PREDICTIONS[key](path).coefficients(t, r)[0] for key in PREDICTIONS]
    for index, value in enumerate(values):
        assert not any(torch.allclose(value, other) for other in values[:index])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_cell
def test_on_the_diagonal_the_map_is_the_identity_exactly(
    path_key: str, key: str, dtype: torch.dtype
) -> None:
    _, prediction = build(path_key, key)
    t = torch.cat([torch.linspace(0, 1, 101), torch.rand(500)]).to(dtype)
    p, q = prediction.coefficients(t, t)
    assert torch.equal(p, torch.zeros_like(t))
    assert torch.equal(q, torch.ones_like(t))


@pytest.mark.parametrize("path_key", INTERPOLANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_data_prediction_lands_on_its_output_exactly(path_key: str, dtype: torch.dtype) -> None:
    _, prediction = build(path_key, "x1")
    t = torch.linspace(0, 1, 101, dtype=dtype)[:-1]
    p, q = prediction.coefficients(t, torch.ones_like(t))
    assert torch.equal(p, torch.ones_like(t))
    assert torch.equal(q, torch.zeros_like(t))


@every_cell
def test_rates_are_derivatives_at_the_diagonal(path_key: str, key: str) -> None:
    _, prediction = build(path_key, key)
    t, _ = times()
    _, expected = torch.func.jvp(
        lambda r: prediction.coefficients(t, r), (t,), (torch.ones_like(t),)
    )
    for actual, derivative in zip(prediction.rates(t), expected, strict=True):
        torch.testing.assert_close(actual, derivative, rtol=1e-9, atol=1e-9)


@every_cell
def test_the_conditional_field_gives_the_conditional_velocity(path_key: str, key: str) -> None:
    path, prediction = build(path_key, key)
    t, _ = times()
    x0, x1 = torch.randn(2, len(t), 3, dtype=t.dtype, generator=torch.Generator().manual_seed(0))
    x = path.interpolate(x0, x1, t)
    actual = prediction.velocity(prediction.conditional(x0, x1, t), x, t)
    torch.testing.assert_close(actual, path.velocity(x0, x1, t), rtol=1e-9, atol=1e-9)


@every_cell
def test_the_averaging_law_composes_affine_maps(path_key: str, key: str) -> None:
    _, prediction = build(path_key, key)
    t, r = times()
    s = t + 0.4 * (r - t)
    first, second, x = torch.randn(3, len(t), dtype=t.dtype, generator=torch.Generator())

    def step(m: Tensor, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        p, q = prediction.coefficients(t, r)
        return p * m + q * x

    w1, w2, w3 = prediction.average_weights(t, s, r)
    average = w1 * first + w2 * second + w3 * x
    two_steps = step(second, step(first, x, t, s), s, r)
    torch.testing.assert_close(step(average, x, t, r), two_steps, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(step(average + 1e-3, x, t, r), two_steps, rtol=1e-9, atol=1e-9)


@every_cell
def test_weights_of_the_average_are_convex_where_there_is_a_clock(path_key: str, key: str) -> None:
    _, prediction = build(path_key, key)
    t, r = times()
    w1, w2, w3 = prediction.average_weights(t, t + 0.4 * (r - t), r)
    assert key not in TABLE or bool(prediction.turning(t).any()) == (key == "v")
    if prediction.turning(t).any():
        assert bool((w3 > 0).all())
    else:
        torch.testing.assert_close(w1 + w2, torch.ones_like(w1), rtol=1e-10, atol=0)
        assert bool((w1 >= 0).all() and (w2 >= 0).all() and (w3 == 0).all())


@every_cell
def test_weights_of_the_residual_are_finite_at_the_data(path_key: str, key: str) -> None:
    _, prediction = build(path_key, key)
    t = torch.linspace(0.01, 0.999, 50, dtype=torch.float32)
    for weight in prediction.residual_weights(t, torch.ones_like(t)):
        assert weight.isfinite().all()


def test_the_reach_is_the_elapsed_time_on_the_linear_path() -> None:
    t, r = times()
    for key in ("u", "x1", "x0"):
        _, reach, bend = build("linear", key)[1].residual_weights(t, r)
        torch.testing.assert_close(reach, r - t, rtol=1e-12, atol=1e-14)
        assert torch.equal(bend, torch.zeros_like(t))


def test_noise_prediction_cannot_leave_pure_noise() -> None:
    zero, half = torch.zeros(1), torch.full((1,), 0.5)
    assert not build("linear", "x0")[1].coefficients(zero, half)[1].isfinite().all()
    assert build("ve", "x0")[1].coefficients(zero, half)[1].isfinite().all()
