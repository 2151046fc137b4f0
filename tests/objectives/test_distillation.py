"""Distillation of a velocity or a map: exact on the exact map, positive off it, and its roads."""

from __future__ import annotations

import copy

import pytest
import torch
from cells import every_cell
from gaussian_cases import FixedPairs, Network, Perturbed, oracle, pairs, states

from geoflow.flow_map import FlowMap
from geoflow.objectives import Consistency, Cumulative, Eulerian, Lagrangian, Progressive
from geoflow.objectives.lagrangian import derivative_end, lagrangian_residual

every = pytest.mark.parametrize("kind", [Lagrangian, Eulerian])
TIMES = [0.1, 0.3, 0.5, 0.7]


@every_cell
def test_the_lagrangian_equation_holds_for_the_exact_map(path_key: str, key: str) -> None:
    field, flow_map = oracle(path_key, key)
    x, t, _, r = states(field)
    r = r.clamp(max=0.99)
    state, derivative = derivative_end(flow_map, x, t, r)
    expected = field.instantaneous(field.flow(x, t, r), r)
    residual = lagrangian_residual(flow_map, state, derivative, expected, r)
    assert (residual / (1 + expected.abs())).abs().max().item() < 1e-7
    shifted = lagrangian_residual(flow_map, state, derivative, expected + 1e-3, r)
    assert shifted.abs().mean().item() > 1e-4


@every
@every_cell
def test_self_distillation_vanishes_on_the_exact_map_alone(
    path_key: str, key: str, kind: type[Lagrangian | Eulerian]
) -> None:
    field, flow_map = oracle(path_key, key)
    x0, x1 = pairs(400)
    objective = kind(times=FixedPairs(TIMES, 0.9))
    assert objective(flow_map, x0, x1).terms["map"].max().item() < 1e-12
    one = torch.ones((), dtype=torch.float64)
    wrong = FlowMap(Perturbed(field, 0.1 * one), flow_map.interpolant, key)
    distil = kind(frozen=flow_map, times=FixedPairs(TIMES, 0.9))
    assert distil(flow_map, x0, x1).total.max().item() < 1e-12
    assert distil(wrong, x0, x1).total.mean().item() > 1e-6


@every
def test_distillation_regresses_the_teacher_on_the_diagonal(
    kind: type[Lagrangian | Eulerian],
) -> None:
    _, flow_map = oracle("linear", "x1")
    x0, x1 = pairs(400)
    losses = kind(frozen=flow_map, times=FixedPairs(0.5, 0.5))(flow_map, x0, x1)
    assert losses.total.max().item() < 1e-20
    # Without a teacher the diagonal is flow matching, whose loss is the conditional variance.
    own = kind(times=FixedPairs(0.5, 0.5))(flow_map, x0, x1)
    assert own.terms["diagonal"].mean().item() > 0.01


@every
def test_descent_on_the_exact_teacher_brings_the_map_to_it(
    kind: type[Lagrangian | Eulerian],
) -> None:
    """The size of a perturbation of the exact field goes to zero."""
    field, exact = oracle("linear", "x1")
    size = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    flow_map = FlowMap(Perturbed(field, size), exact.interpolant, "x1")
    x0, x1 = pairs(2000)
    objective = kind(frozen=exact, times=FixedPairs(TIMES, 0.8))
    for _ in range(60):
        (gradient,) = torch.autograd.grad(objective(flow_map, x0, x1).total.mean(), size)
        with torch.no_grad():
            size -= 0.3 * gradient
    assert abs(size.item()) < 0.02


def test_the_lagrangian_gradient_is_that_of_its_loss() -> None:
    """A difference of losses, the teacher's field at the first map's states held fixed."""
    flow_map = FlowMap(Network(), oracle("linear", "x1")[1].interpolant, "x1")
    x0, x1 = pairs(8)
    parameter = next(flow_map.parameters())
    t, r = torch.full((8,), 0.2).double(), torch.full((8,), 0.7).double()
    x = flow_map.interpolant.interpolate(x0, x1, t)
    with torch.no_grad():
        fixed = flow_map.field(flow_map(x, t, r), r, r)

    def loss(moved: FlowMap) -> torch.Tensor:
        state, derivative = derivative_end(moved, x, t, r)
        return lagrangian_residual(moved, state, derivative, fixed, r).square().mean()

    objective = Lagrangian(times=FixedPairs(0.2, 0.7))
    (gradient,) = torch.autograd.grad(objective(flow_map, x0, x1).total.mean(), parameter)
    direction = torch.randn(parameter.shape, dtype=torch.float64)
    values = []
    for sign in (1, -1):
        moved = copy.deepcopy(flow_map)
        with torch.no_grad():
            next(moved.parameters()).add_(sign * 1e-5 * direction)
            values.append(loss(moved).item())
    difference = (values[0] - values[1]) / 2e-5
    assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-5)


@every_cell
def test_progressive_matching_vanishes_on_the_exact_map_alone(path_key: str, key: str) -> None:
    field, exact = oracle(path_key, key)
    x0, x1 = pairs(400)
    objective = Progressive(jumps=3, times=FixedPairs(TIMES, 1.0))
    assert objective(exact, x0, x1).total.max().item() < 1e-12
    one = torch.ones((), dtype=torch.float64)
    wrong = FlowMap(Perturbed(field, 0.1 * one), exact.interpolant, key)
    matched = Progressive(frozen=exact, times=FixedPairs(TIMES, 1.0))(wrong, x0, x1)
    # The perturbation is constant in time: its mean square is the whole loss.
    expected = (0.1 * (0.3 + exact.interpolant.interpolate(x0, x1, times(400)))).square().mean(1)
    torch.testing.assert_close(matched.total, expected, rtol=1e-6, atol=1e-9)


def times(num: int) -> torch.Tensor:
    return torch.tensor(TIMES).double().repeat(num // len(TIMES))


def test_two_equal_jumps_are_the_averaging_law() -> None:
    """Shortcut models and progressive self-distillation are settings of one law."""
    flow_map = FlowMap(Network(), oracle("linear", "x1")[1].interpolant, "u")
    x0, x1 = pairs(400)
    pairs_of_times = FixedPairs(TIMES, 0.9)
    jumps = Progressive(times=pairs_of_times)(flow_map, x0, x1).total
    average = Cumulative(derivative="average", split=0.5, times=pairs_of_times)
    torch.testing.assert_close(jumps, average(flow_map, x0, x1).total, rtol=1e-9, atol=1e-12)
    thirds = Progressive(jumps=3, times=pairs_of_times)(flow_map, x0, x1).total
    assert not torch.allclose(jumps, thirds, rtol=1e-3)


def test_consistency_distillation_errs_by_the_square_of_the_step() -> None:
    _, exact = oracle("linear", "x1")
    x0, x1 = pairs(4000)
    errors = [
        Consistency(frozen=exact, step=h, times=FixedPairs(TIMES, 1.0))(exact, x0, x1)
        .total.mean()
        .sqrt()
        .item()
        for h in (0.04, 0.02, 0.01)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_consistency_training_is_at_rest_on_the_exact_map_as_the_step_shrinks() -> None:
    field, exact = oracle("linear", "x1")
    x0, x1 = pairs()

    class Fading(Perturbed):
        """A perturbation that falls to zero at the data; a constant one would not be seen."""

        def forward(self, x, t, r, cond=None):
            return self.field(x, t, r, cond) + self.size * (1 - t)[:, None] * (0.3 + x)

    def slope(at: float, step: float) -> float:
        size = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        flow_map = FlowMap(Fading(field, size), exact.interpolant, "x1")
        objective = Consistency(step=step, times=FixedPairs(TIMES, 1.0))
        (gradient,) = torch.autograd.grad(objective(flow_map, x0, x1).total.mean(), size)
        return gradient.item() / step

    assert abs(slope(0.0, 0.01)) < 0.1 * abs(slope(0.3, 0.01))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="jumps must be at least 2, got 1"):
        Progressive(jumps=1)
    with pytest.raises(ValueError, match=r"step must be in \(0, 1\], got 0"):
        Consistency(step=0.0)
