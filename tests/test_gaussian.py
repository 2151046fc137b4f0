"""Laws of the exact flow of Gaussian data, for every interpolant and prediction, in float64."""

from __future__ import annotations

import torch
from cells import every_cell
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.oracles.gaussian import GaussianField

MEAN = torch.tensor([0.7, -0.4, 0.0], dtype=torch.float64)
STD = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)


def oracle(path_key: str, key: str) -> tuple[GaussianField, FlowMap]:
    flow_map = GaussianField.flow_map(MEAN, STD, INTERPOLANTS[path_key](), key)
    assert isinstance(flow_map.backbone, GaussianField)
    return flow_map.backbone, flow_map


def states(field: GaussianField) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Typical states, and three rising times."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(60, 3, dtype=torch.float64, generator=generator)
    t, s, r = 0.05 + 0.93 * torch.rand(3, 60, dtype=torch.float64, generator=generator).sort(0)[0]
    mean, std = field.marginal(t, like=z)
    return mean + std * z, t, s, r


@every_cell
def test_the_map_is_the_flow(path_key: str, key: str) -> None:
    field, flow_map = oracle(path_key, key)
    x, t, _, r = states(field)
    torch.testing.assert_close(flow_map(x, t, r), field.flow(x, t, r), rtol=1e-9, atol=1e-9)


@every_cell
def test_semigroup(path_key: str, key: str) -> None:
    field, flow_map = oracle(path_key, key)
    x, t, s, r = states(field)
    two_steps = flow_map(flow_map(x, t, s), s, r)
    torch.testing.assert_close(two_steps, flow_map(x, t, r), rtol=1e-9, atol=1e-9)
    too_late = flow_map(flow_map(x, t, s), s, r + 1e-3)
    assert not torch.allclose(too_late, flow_map(x, t, r), rtol=1e-9, atol=1e-9)


@every_cell
def test_the_flow_moves_by_its_velocity(path_key: str, key: str) -> None:
    field, _ = oracle(path_key, key)
    x, t, _, r = states(field)
    y, speed = torch.func.jvp(lambda r: field.flow(x, t, r), (r,), (torch.ones_like(r),))
    torch.testing.assert_close(speed, field.velocity(y, r), rtol=1e-8, atol=1e-8)


@every_cell
def test_the_diagonal_gives_the_velocity(path_key: str, key: str) -> None:
    field, flow_map = oracle(path_key, key)
    x, t, _, _ = states(field)
    torch.testing.assert_close(flow_map.velocity(x, t), field.velocity(x, t), rtol=1e-8, atol=1e-8)


@every_cell
def test_the_field_is_continuous_at_the_diagonal(path_key: str, key: str) -> None:
    field, _ = oracle(path_key, key)
    x, t, _, _ = states(field)
    near, diagonal = field(x, t, t + 1e-6), field(x, t, t)
    scale = 1 + diagonal.abs()
    assert ((near - diagonal) / scale).abs().max().item() < 1e-3


@every_cell
def test_the_flow_pushes_noise_to_data(path_key: str, key: str) -> None:
    field, _ = oracle(path_key, key)
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    mean, std = field.marginal(zero, like=MEAN[None])
    torch.testing.assert_close(field.flow(mean, zero, one), MEAN[None], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        field.flow(mean + std, zero, one), (MEAN + STD)[None], rtol=1e-12, atol=1e-12
    )


@every_cell
def test_the_instantaneous_field_is_the_conditional_mean(path_key: str, key: str) -> None:
    """Regress the conditional field on the state: the residual is orthogonal to 1 and x."""
    field, flow_map = oracle(path_key, key)
    generator = torch.Generator().manual_seed(1)
    x0, noise = torch.randn(2, 20_000, 3, dtype=torch.float64, generator=generator)
    x1 = MEAN + STD * noise
    t = torch.full((20_000,), 0.4, dtype=torch.float64)
    x = flow_map.interpolant.interpolate(x0, x1, t)
    error = flow_map.prediction.conditional(x0, x1, t) - field.instantaneous(x, t)
    for test in (torch.ones_like(x), x):
        product = error * test
        assert bool((product.mean(0).abs() < 5 * product.std(0) / 20_000**0.5).all())
    assert bool((error.std(0) > 1e-3).all())
