"""The cumulative identity and the averaging law, and what their targets cost."""

from __future__ import annotations

import pytest
import torch
from cells import every_cell, unchecked
from gaussian_cases import FixedPairs, Network, Perturbed, oracle, pairs, states
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives import Cumulative
from geoflow.objectives.cumulative import (
    Derivative,
    average_field,
    cumulative_residual,
    derivative_difference,
    derivative_jvp,
)
from geoflow.times import UniformPairs
from geoflow.typing import Times


@every_cell
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


@every_cell
def test_the_identity_is_the_eulerian_equation_of_the_map(path_key: str, key: str) -> None:
    """For any network: p rho is minus the derivative of psi_{t->r} along the velocity."""
    flow_map = FlowMap(Network(), path_key, key)
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


@every_cell
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


@every_cell
def test_the_forward_difference_is_first_order(path_key: str, key: str) -> None:
    flow_map = FlowMap(Network(), path_key, key)
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
    difference = derivative_difference(FlowMap(Recording(), "linear", "x1"), x, x, t, r, step=0.1)
    assert difference.isfinite().all()
    torch.testing.assert_close(torch.stack(seen).amax(0), torch.tensor([0.3, 0.5001]).double())


@pytest.mark.parametrize("derivative", ["jvp", "average"])
@every_cell
def test_the_loss_is_regular_at_the_data(path_key: str, key: str, derivative: Derivative) -> None:
    flow_map = FlowMap(Network(torch.float32), path_key, key)
    x0, x1 = (end.float() for end in pairs(64))

    def total(r: float) -> Tensor:
        objective = Cumulative(derivative=derivative, split=0.5, times=FixedPairs(0.4, r))
        return objective(flow_map, x0, x1).total

    assert total(1.0).isfinite().all()
    torch.testing.assert_close(total(1 - 1e-6), total(1.0), rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("derivative", ["average", "jvp", "difference"])
def test_targets_cost_two_rows_for_each_example_off_the_diagonal(derivative: Derivative) -> None:
    network = Network()
    objective = Cumulative(derivative=derivative, times=UniformPairs(diagonal=0.75))
    losses = objective(
        FlowMap(network, "linear", "x1"),
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
    losses = objective(FlowMap(network, "linear", "x1"), *pairs(40))
    assert network.rows == [40]
    assert torch.equal(losses.terms["diagonal"], losses.total)


@pytest.mark.parametrize("derivative", ["jvp", "difference"])
def test_derivatives_are_taken_without_autocast(derivative: Derivative) -> None:
    network = Network(torch.float32)
    x0, x1 = (end.float() for end in pairs(8))
    objective = Cumulative(derivative=derivative, times=FixedPairs(0.3, 0.9))
    with torch.autocast("cpu", torch.bfloat16):
        total = objective(FlowMap(network, "linear", "x1"), x0, x1).total
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
    with unchecked(), pytest.raises(ValueError, match=message):
        Cumulative(**option)  # type: ignore[arg-type]
