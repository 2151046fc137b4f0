"""Flow matching on the exact field of Gaussian data, in float64."""

from __future__ import annotations

import pytest
import torch
from cells import every_cell
from gaussian_cases import MEAN, NUM, STD, FixedPairs, Perturbed, pairs
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives import FlowMatching
from geoflow.oracles.gaussian import GaussianField
from geoflow.prediction import PREDICTIONS


def losses(path_key: str, key: str, t: float, size: Tensor) -> Tensor:
    path = INTERPOLANTS[path_key]()
    field = GaussianField(MEAN, STD, path, key)
    flow_map = FlowMap(Perturbed(field, size), path, key)
    objective = FlowMatching(times=FixedPairs(t, t))
    return objective(flow_map, *pairs()).total


def conditional_variance(path_key: str, key: str, t: float) -> float:
    """Variance of the conditional field given the state, mean over coordinates.

    Given x_t, x1 varies by s alpha / sigma, and b_t by W / alpha times that; m = (b - q x) / p.
    """
    path = INTERPOLANTS[path_key]()
    time = torch.tensor([t], dtype=torch.float64)
    spread = (path.alpha(time) ** 2 + (path.beta(time) * STD) ** 2).sqrt()
    p, _ = PREDICTIONS[key](path).rates(time)
    return (path.area_rate(time) * STD / (spread * p)).square().mean().item()


@pytest.mark.parametrize("t", [0.3, 0.8])
@every_cell
def test_the_loss_of_the_exact_field_is_the_conditional_variance(
    path_key: str, key: str, t: float
) -> None:
    zero = torch.zeros((), dtype=torch.float64)
    total = losses(path_key, key, t, zero)
    error = 4 * total.std().item() / NUM**0.5
    assert total.mean().item() == pytest.approx(
        conditional_variance(path_key, key, t), abs=error, rel=0
    )
    scale = conditional_variance(path_key, key, t) ** 0.5
    perturbed = losses(path_key, key, t, zero + 0.3 * scale)
    assert perturbed.mean().item() > total.mean().item() + error


@every_cell
def test_the_mean_gradient_at_the_exact_field_is_zero(path_key: str, key: str) -> None:
    for offset, is_zero in ((0.0, True), (0.3, False)):
        scale = conditional_variance(path_key, key, 0.5) ** 0.5
        size = torch.full((NUM, 1), offset * scale, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(losses(path_key, key, 0.5, size).sum(), size)
        z_score = gradient.mean() / (gradient.std() / NUM**0.5)
        assert (z_score.abs().item() < 4) == is_zero


def test_linear_velocity_has_the_known_mean_variance() -> None:
    """The integral over t of 1 / ((1 - t)^2 + t^2) is pi / 2."""
    path = INTERPOLANTS["linear"]()
    one = torch.ones(1, dtype=torch.float64)
    flow_map = GaussianField.flow_map(0 * one, one, path, "u")
    x0, x1 = torch.randn(
        2, 200_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    total = FlowMatching()(flow_map, x0, x1, generator=torch.Generator().manual_seed(2)).total
    error = 4 * total.std().item() / 200_000**0.5
    assert total.mean().item() == pytest.approx(torch.pi / 2, abs=error, rel=0)
