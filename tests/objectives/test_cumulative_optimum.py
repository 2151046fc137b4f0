"""The cumulative objective at its optimum, the exact field of Gaussian data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cells import every_cell
from gaussian_cases import NUM, STD, FixedPairs, Perturbed, oracle, pairs
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives import Cumulative
from geoflow.prediction import PREDICTIONS
from geoflow.typing import Times


def variance(path_key: str, key: str, t: float, r: float) -> float:
    """Variance of rho at the optimum: the conditional variance of b, seen through the map.

    rho - 0 = -(dpsi/dx) (b_t(x | x0, x1) - b_t(x)) / p and dpsi/dx = sigma_r / sigma_t.
    """
    path = INTERPOLANTS[path_key]()
    times = torch.tensor([t, r], dtype=torch.float64)
    alpha, beta = path.alpha(times)[:, None], path.beta(times)[:, None]
    spread_t, spread_r = (alpha**2 + (beta * STD) ** 2).sqrt()
    p, _ = PREDICTIONS[key](path).rates(times[:1])
    rate = path.area_rate(times[:1])
    return (spread_r / spread_t * rate * STD / (spread_t * p)).square().mean().item()


@pytest.mark.parametrize(("t", "r"), [(0.3, 0.8), (0.4, 1.0), (0.6, 0.6)])
@every_cell
def test_the_derivative_loss_of_the_exact_field_is_the_known_variance(
    path_key: str, key: str, t: float, r: float
) -> None:
    field, flow_map = oracle(path_key, key)
    objective = Cumulative(derivative="jvp", times=FixedPairs(t, r))
    total = objective(flow_map, *pairs()).total
    expected = variance(path_key, key, t, r)
    error = 4 * total.std().item() / NUM**0.5
    assert total.mean().item() == pytest.approx(expected, abs=error, rel=0)
    size = torch.tensor(0.5 * expected**0.5, dtype=torch.float64)
    perturbed = FlowMap(Perturbed(field, size), flow_map.interpolant, key)
    assert objective(perturbed, *pairs()).total.mean().item() > expected + error


@every_cell
def test_the_average_loss_of_the_exact_field_is_zero(path_key: str, key: str) -> None:
    field, flow_map = oracle(path_key, key)
    objective = Cumulative(times=FixedPairs([0.3, 0.5, 0.8], 1.0))
    x0, x1 = pairs(300)
    total = objective(flow_map, x0, x1, generator=torch.Generator().manual_seed(3)).total
    size = 1 + field(x1, torch.full((300,), 0.5).double(), torch.ones(300).double()).square()
    assert (total / size.mean()).max().item() < 1e-15
    perturbed = FlowMap(Perturbed(field, torch.tensor(0.1).double()), flow_map.interpolant, key)
    total = objective(perturbed, x0, x1, generator=torch.Generator().manual_seed(3)).total
    assert total.mean().item() > 1e-8


def z_score(per_example: Tensor) -> float:
    return (per_example.mean() / (per_example.std() / len(per_example) ** 0.5)).abs().item()


@pytest.mark.parametrize(("t", "r"), [(0.3, 0.8), (0.5, 1.0)])
@every_cell
def test_the_mean_gradient_at_the_exact_field_is_zero(
    path_key: str, key: str, t: float, r: float
) -> None:
    field, flow_map = oracle(path_key, key)
    objective = Cumulative(derivative="jvp", times=FixedPairs(t, r))
    scale = variance(path_key, key, t, r) ** 0.5
    for offset, is_zero in ((0.0, True), (0.5, False)):
        size = torch.full((NUM, 1), offset * scale, dtype=torch.float64, requires_grad=True)
        perturbed = FlowMap(Perturbed(field, size), flow_map.interpolant, key)
        total = objective(perturbed, *pairs()).total
        (gradient,) = torch.autograd.grad(total.sum(), size)
        assert (z_score(gradient) < 4) == is_zero


class Slope(nn.Module):
    """Average velocity (k(t) - 1) x / (1 - t) of a map psi_{t->1}(x) = k(t) x, k(1) = 1.

    k is linear between the nodes of a grid; its values before 1 are the parameter.
    """

    def __init__(self, nodes: Tensor) -> None:
        super().__init__()
        self.nodes = nodes

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """The velocity that the map implies."""
        values = torch.cat([self.nodes, torch.ones_like(self.nodes[:1])])
        place = t * len(self.nodes)
        index = place.detach().floor().long().clamp(max=len(self.nodes) - 1)
        k = values[index] + (place - index) * (values[index + 1] - values[index])
        return ((k - 1) / (1 - t))[:, None] * x


def stationary_slope(loss: Callable[[FlowMap, Tensor, Tensor], Tensor], num: int) -> float:
    """Slope k(0) at which the gradient of a quadratic loss in the nodes vanishes."""
    # Four corners have the second moments of noise and of N(0, 0.3^2): the mean is exact.
    x0 = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64).repeat_interleave(num)[:, None]
    x1 = torch.tensor([0.3, -0.3, 0.3, -0.3], dtype=torch.float64).repeat_interleave(num)[:, None]

    def gradient(nodes: Tensor) -> Tensor:
        nodes = nodes.clone().requires_grad_()
        flow_map = FlowMap(Slope(nodes), "linear", "u")
        return torch.autograd.grad(loss(flow_map, x0, x1).mean(), nodes)[0]

    zero = gradient(torch.zeros(num, dtype=torch.float64))
    columns = [gradient(unit) - zero for unit in torch.eye(num, dtype=torch.float64)]
    return torch.linalg.solve(torch.stack(columns, dim=1), -zero)[0].item()


def test_full_gradients_are_biased_and_stopped_targets_are_not() -> None:
    """On N(0, 0.3^2) the one-step map has slope 0.300; full gradients give 0.160."""
    num = 100
    midpoints = (torch.arange(num, dtype=torch.float64) + 0.5) / num
    objective = Cumulative(derivative="jvp", times=FixedPairs(midpoints, 1.0))

    def stopped(flow_map: FlowMap, x0: Tensor, x1: Tensor) -> Tensor:
        return objective(flow_map, x0, x1).total

    def full(flow_map: FlowMap, x0: Tensor, x1: Tensor) -> Tensor:
        t = midpoints.repeat(4)
        x, velocity = flow_map.interpolant.interpolate(x0, x1, t), x1 - x0
        one = torch.ones_like(t)
        moved = torch.func.jvp(lambda x, t: flow_map(x, t, one), (x, t), (velocity, one))[1]
        return moved.square().mean(1)

    assert stationary_slope(stopped, num) == pytest.approx(0.300, abs=1e-3)
    assert stationary_slope(full, num) == pytest.approx(0.160, abs=1e-3)
