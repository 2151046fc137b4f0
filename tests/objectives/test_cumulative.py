"""The cumulative identity and the averaging law on the exact field of Gaussian data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from geoflow.flow_map import FlowMap
from geoflow.gaussian import GaussianField
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives import Cumulative
from geoflow.objectives.cumulative import (
    Derivative,
    average_field,
    cumulative_residual,
    derivative_difference,
    derivative_jvp,
)
from geoflow.prediction import PREDICTIONS
from geoflow.times import TimePairs, UniformPairs
from geoflow.typing import Condition, Times

NUM = 40_000
MEAN = torch.tensor([0.7, -0.4], dtype=torch.float64)
STD = torch.tensor([0.3, 1.5], dtype=torch.float64)
both = pytest.mark.parametrize(
    ("path_key", "key"), [(i, p) for i in INTERPOLANTS for p in PREDICTIONS]
)


class FixedPairs(TimePairs):
    """Given pairs, in order, repeated over the batch."""

    def __init__(self, t: Tensor | list[float] | float, r: float) -> None:
        self.t = torch.as_tensor(t, dtype=torch.float64).reshape(-1)
        self.r = r

    def sample(
        self,
        num: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Times, Times]:
        """The given pairs."""
        t = self.t.to(dtype).repeat(num // len(self.t))
        return t, torch.full_like(t, self.r)


class Network(nn.Module):
    """A smooth random network of state and two times; knows its rows and the autocast mode."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(4, 16, generator=generator).to(dtype) / 2)
        self.second = nn.Parameter(torch.randn(16, 2, generator=generator).to(dtype) / 4)
        self.rows: list[int] = []
        self.autocast: list[bool] = []

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """Two layers."""
        self.rows.append(len(x))
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        inputs = torch.cat([x, t[:, None], r[:, None]], dim=-1)
        return (inputs @ self.first).tanh() @ self.second


class Perturbed(nn.Module):
    """A field plus size times a smooth function of state and time."""

    def __init__(self, field: nn.Module, size: Tensor) -> None:
        super().__init__()
        self.field, self.size = field, size

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """The perturbed field."""
        out: Tensor = self.field(x, t, r, cond)
        return out + self.size * (0.3 + x)


def oracle(path_key: str, key: str) -> tuple[GaussianField, FlowMap]:
    flow_map = GaussianField.flow_map(MEAN, STD, INTERPOLANTS[path_key](), key)
    assert isinstance(flow_map.backbone, GaussianField)
    return flow_map.backbone, flow_map


def pairs(num: int = NUM) -> tuple[Tensor, Tensor]:
    x0, noise = torch.randn(
        2, num, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    return x0, MEAN + STD * noise


def states(field: GaussianField) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Typical states, and three rising times, the last of which is 1 for some."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(60, 2, dtype=torch.float64, generator=generator)
    t, s, r = 0.05 + 0.93 * torch.rand(3, 60, dtype=torch.float64, generator=generator).sort(0)[0]
    r[:20] = 1.0
    mean, std = field.marginal(t, like=z)
    return mean + std * z, t, s, r


@both
def test_the_identity_holds_for_the_exact_field(path_key: str, key: str) -> None:
    field, flow_map = oracle(path_key, key)
    x, t, _, r = states(field)
    output = flow_map.field(x, t, r)
    derivative = derivative_jvp(flow_map, x, field.velocity(x, t), t, r)

    def residual(shift: float) -> Tensor:
        instantaneous = field.instantaneous(x, t) + shift
        return cumulative_residual(flow_map, output, instantaneous, derivative, x, t, r)

    scale = 1 + output.abs()
    assert (residual(0.0) / scale).abs().max().item() < 1e-8
    assert residual(1e-3).abs().mean().item() > 1e-5


@both
def test_the_identity_is_the_eulerian_equation_of_the_map(path_key: str, key: str) -> None:
    """For any network: p rho is minus the derivative of psi_{t->r} along the velocity."""
    flow_map = FlowMap.build(Network(), path_key, key)
    x, t, _, r = states(oracle(path_key, key)[0])
    instantaneous = torch.sin(x)
    velocity = flow_map.prediction.velocity(instantaneous, x, t)
    _, moved = torch.func.jvp(
        lambda x, t: flow_map(x, t, r), (x, t), (velocity, torch.ones_like(t))
    )
    residual = cumulative_residual(
        flow_map,
        flow_map.field(x, t, r),
        instantaneous,
        derivative_jvp(flow_map, x, velocity, t, r),
        x,
        t,
        r,
    )
    p, _ = flow_map.prediction.rates(t)
    torch.testing.assert_close(-p[:, None] * residual, moved, rtol=1e-7, atol=1e-7)


@both
def test_the_averaging_law_holds_for_the_exact_field(path_key: str, key: str) -> None:
    field, flow_map = oracle(path_key, key)
    x, t, s, r = states(field)
    expected = flow_map.field(x, t, r)
    scale = 1 + expected.abs()
    error = average_field(flow_map, x, t, s, r) - expected
    assert (error / scale).abs().max().item() < 1e-8
    one = torch.ones((), dtype=torch.float64)
    perturbed = FlowMap(Perturbed(field, 0.1 * one), flow_map.interpolant, key)
    error = average_field(perturbed, x, t, s, r) - perturbed.field(x, t, r)
    assert (error / scale).abs().max().item() > 1e-4


@dataclass(frozen=True)
class Printed:
    """What the formulas of the paper are written in; times have shape (b, 1)."""

    path: dict[str, tuple[Tensor, Tensor]]
    """Values of the path's coefficients at t and r."""
    partial: Callable[[Tensor | float, float], Tensor]
    """Derivative of the field along (direction of x, speed of t)."""
    x: Tensor
    x0: Tensor
    x1: Tensor
    t: Tensor
    r: Tensor


def printed_u(of: Printed) -> Tensor:
    velocity = of.x1 - of.x0
    return velocity + (of.r - of.t) * (of.partial(0.0, 1.0) + of.partial(velocity, 0.0))


def printed_x1(of: Printed) -> Tensor:
    inner = (1 - of.t) * of.partial(0.0, 1.0) + of.partial(of.x1 - of.x, 0.0)
    return of.x1 + (of.r - of.t) / (1 - of.r) * inner


def printed_ddim(of: Printed) -> Tensor:
    beta_t, beta_r = of.path["beta"]
    bar_t, bar_r = beta_t**2, beta_r**2
    slope = 2 * beta_t * of.path["beta_dot"][0]
    c = (1 - bar_t).sqrt() * bar_r.sqrt() / ((1 - bar_r).sqrt() * bar_t.sqrt()) - 1
    # The schedule index of the paper falls towards the data; -2 (1 - bar)(1 - beta) / beta is
    # the limit of 2 bar (1 - bar) / slope per unit of time.
    by_time = 2 * bar_t * (1 - bar_t) / slope * of.partial(0.0, 1.0)
    return of.x1 + c * (of.partial(bar_t.sqrt() * of.x1 - bar_t * of.x, 0.0) + by_time)


def printed_edm(of: Printed) -> Tensor:
    sigma_t, sigma_r = of.path["alpha"]
    by_sigma = of.partial(0.0, 1.0) / of.path["alpha_dot"][0]
    inner = sigma_t * by_sigma + of.partial(of.x - of.x1, 0.0)
    return of.x1 + (sigma_r - sigma_t) / sigma_r * inner


PRINTED = {
    ("linear", "u"): printed_u,
    ("linear", "x1"): printed_x1,
    ("vp", "x1"): printed_ddim,
    ("ve", "x1"): printed_edm,
}


def printed_and_ours(cell: tuple[str, str], formula: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """The target printed in the paper for `formula`, and ours in a cell of the grid."""
    flow_map = FlowMap.build(Network(), *cell)
    path = flow_map.interpolant
    _, t, _, r = states(oracle(*cell)[0])
    # The printed forms are singular at r = 1, where the first examples end.
    t, r = t[20:], r[20:]
    x0, x1 = (end[20:] for end in pairs(60))
    x = path.interpolate(x0, x1, t)

    def partial(direction: Tensor | float, speed: float) -> Tensor:
        tangents = (torch.zeros_like(x) + direction, torch.full_like(t, speed))
        moved: Tensor = torch.func.jvp(lambda x, t: flow_map.field(x, t, r), (x, t), tangents)[1]
        return moved

    values = {
        name: (getattr(path, name)(t)[:, None], getattr(path, name)(r)[:, None])
        for name in ("alpha", "beta", "alpha_dot", "beta_dot")
    }
    printed = PRINTED[formula](Printed(values, partial, x, x0, x1, t[:, None], r[:, None]))
    output = flow_map.field(x, t, r)
    residual = cumulative_residual(
        flow_map,
        output,
        flow_map.prediction.conditional(x0, x1, t),
        derivative_jvp(flow_map, x, path.velocity(x0, x1, t), t, r),
        x,
        t,
        r,
    )
    _, q = flow_map.prediction.coefficients(t, r)
    return printed, output - residual / q[:, None]


@pytest.mark.parametrize("cell", PRINTED, ids=["u-FM", "x1-FM", "DDIM", "EDM"])
def test_the_four_printed_targets_are_settings(cell: tuple[str, str]) -> None:
    printed, ours = printed_and_ours(cell, cell)
    torch.testing.assert_close(ours, printed, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("formula", "other"), [("linear", "vp"), ("vp", "ve"), ("ve", "vp")])
def test_a_printed_target_is_not_that_of_another_path(formula: str, other: str) -> None:
    printed, ours = printed_and_ours((other, "x1"), (formula, "x1"))
    assert not torch.allclose(ours, printed, rtol=1e-3, atol=1e-3)


@both
def test_the_forward_difference_is_first_order(path_key: str, key: str) -> None:
    flow_map = FlowMap.build(Network(), path_key, key)
    x, t, _, _ = states(oracle(path_key, key)[0])
    x, r, velocity = x.clamp(-3, 3), torch.ones_like(t), torch.cos(x)
    exact = derivative_jvp(flow_map, x, velocity, t, r)
    errors = [
        (derivative_difference(flow_map, x, velocity, t, r, step=h) - exact).norm().item()
        for h in (2e-3, 1e-3, 5e-4)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.05)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.05)


def test_the_forward_difference_never_passes_the_end() -> None:
    seen: list[Tensor] = []

    class Recording(Network):
        def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
            seen.append(t)
            return super().forward(x, t, r, cond)

    t = torch.tensor([0.2, 0.5], dtype=torch.float64)
    r = torch.tensor([0.9, 0.5001], dtype=torch.float64)
    x = torch.ones(2, 2, dtype=torch.float64)
    difference = derivative_difference(
        FlowMap.build(Recording(), "linear", "x1"), x, x, t, r, step=0.1
    )
    assert difference.isfinite().all()
    torch.testing.assert_close(torch.stack(seen).amax(0), torch.tensor([0.3, 0.5001]).double())


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


@both
@pytest.mark.parametrize(("t", "r"), [(0.3, 0.8), (0.4, 1.0), (0.6, 0.6)])
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


@both
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


@both
@pytest.mark.parametrize(("t", "r"), [(0.3, 0.8), (0.5, 1.0)])
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
        flow_map = FlowMap.build(Slope(nodes), "linear", "u")
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


@both
@pytest.mark.parametrize("derivative", ["jvp", "average"])
def test_the_loss_is_regular_at_the_data(path_key: str, key: str, derivative: Derivative) -> None:
    flow_map = FlowMap.build(Network(torch.float32), path_key, key)
    x0, x1 = (end.float() for end in pairs(64))

    def total(r: float) -> Tensor:
        objective = Cumulative(derivative=derivative, split=0.5, times=FixedPairs(0.4, r))
        return objective(flow_map, x0, x1).total

    assert total(1.0).isfinite().all()
    torch.testing.assert_close(total(1 - 1e-6), total(1.0), rtol=2e-2, atol=1e-3)


def test_the_printed_target_is_singular_at_the_data() -> None:
    x0, x1 = pairs(4)
    t, r = torch.full((4, 1), 0.4).double(), torch.ones(4, 1).double()
    inputs = Printed({}, lambda *_: torch.ones_like(x0), x0, x0, x1, t, r)
    assert not printed_x1(inputs).isfinite().any()


@pytest.mark.parametrize("derivative", ["average", "jvp", "difference"])
def test_targets_cost_two_rows_for_each_example_off_the_diagonal(derivative: Derivative) -> None:
    network = Network()
    objective = Cumulative(derivative=derivative, times=UniformPairs(diagonal=0.75))
    losses = objective(
        FlowMap.build(network, "linear", "x1"),
        *pairs(400),
        generator=torch.Generator().manual_seed(4),
    )
    apart = int((losses.terms["map"] > 0).sum())
    assert 60 < apart < 140
    # One forward-mode call carries value and derivative, and counts as one call of its rows.
    assert network.rows == [400, apart] + [apart] * (derivative != "jvp")


def test_on_the_diagonal_it_is_flow_matching_and_costs_as_much() -> None:
    network = Network()
    objective = Cumulative(times=UniformPairs(diagonal=1.0))
    losses = objective(FlowMap.build(network, "linear", "x1"), *pairs(40))
    assert network.rows == [40]
    assert torch.equal(losses.terms["diagonal"], losses.total)


@pytest.mark.parametrize("derivative", ["jvp", "difference"])
def test_derivatives_are_taken_without_autocast(derivative: Derivative) -> None:
    network = Network(torch.float32)
    x0, x1 = (end.float() for end in pairs(8))
    objective = Cumulative(derivative=derivative, times=FixedPairs(0.3, 0.9))
    with torch.autocast("cpu", torch.bfloat16):
        total = objective(FlowMap.build(network, "linear", "x1"), x0, x1).total
    assert network.autocast[0]
    assert not any(network.autocast[1:])
    assert total.dtype == torch.float32


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"derivative": "euler"}, "derivative must be one of average, jvp, difference"),
        ({"step": 0.0}, "step must be positive, got 0.0"),
        ({"split": 1.0}, "split must lie between 0 and 1, got 1.0"),
    ],
)
def test_a_bad_option_is_refused(option: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cumulative(**option)  # type: ignore[arg-type]
