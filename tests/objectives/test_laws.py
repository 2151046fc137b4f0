"""Laws of every objective: whose gradient it is, and that an example's loss is its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from cells import unchecked
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import Linear
from geoflow.objectives import (
    OBJECTIVES,
    SPECIAL_CASES,
    Cumulative,
    Lagrangian,
    Losses,
    Objective,
    Weight,
)
from geoflow.times import UniformPairs
from geoflow.typing import Times

VARIANTS: dict[str, Callable[[], Objective]] = {
    **OBJECTIVES,
    **{name: case.settings for name, case in SPECIAL_CASES.items()},
    "cumulative-jvp": lambda: Cumulative(derivative="jvp"),
    "cumulative-difference": lambda: Cumulative(derivative="difference"),
    "cumulative-average": lambda: Cumulative(derivative="average", split=0.5),
}
every_objective = pytest.mark.parametrize("name", VARIANTS)


class Network(nn.Module):
    """A smooth random network of state, two times and category."""

    def __init__(self, *, mixes_batch: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(6, 16, generator=generator).double() / 2)
        self.second = nn.Parameter(torch.randn(16, 3, generator=generator).double() / 4)
        self.mixes_batch = mixes_batch

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """Two layers."""
        category = torch.zeros_like(t) if cond is None or cond.category is None else cond.category
        hidden = torch.cat([x, t[:, None], r[:, None], category[:, None]], dim=-1) @ self.first
        if self.mixes_batch:
            hidden = hidden - hidden.mean(0)
        return hidden.tanh() @ self.second


def batch() -> tuple[Tensor, Tensor, Condition]:
    generator = torch.Generator().manual_seed(1)
    x0, x1 = torch.randn(2, 16, 3, dtype=torch.float64, generator=generator)
    return x0, x1, Condition(category=torch.arange(16) % 3)


def losses_of(
    name: str,
    flow_map: FlowMap,
    x1: Tensor | None = None,
    average: FlowMap | None = None,
    seed: int = 2,
    shift: float = 0.0,
) -> Losses:
    x0, data, cond = batch()
    x0[1:] += shift
    generator = torch.Generator().manual_seed(seed)
    return VARIANTS[name]()(
        flow_map, x0, data if x1 is None else x1, cond, generator=generator, average=average
    )


@every_objective
def test_terms_sum_to_the_total(name: str) -> None:
    losses = losses_of(name, FlowMap(Network(), Linear(), "x1"))
    assert losses.total.shape == (16,)
    torch.testing.assert_close(sum(losses.terms.values()), losses.total, rtol=1e-12, atol=0)
    assert all(bool((term >= 0).all()) for term in losses.terms.values())


def change_of_the_first(name: str, flow_map: FlowMap) -> Tensor:
    """How the first example's loss changes with the noise and data of the others."""
    _, x1, _ = batch()
    other = x1.clone()
    other[1:] += 1.0
    before = losses_of(name, flow_map, x1).total
    after = losses_of(name, flow_map, other, shift=1.0).total
    assert not torch.allclose(before[1:], after[1:])
    return (before[0] - after[0]).abs()


@every_objective
def test_losses_do_not_depend_on_batch_mates(name: str) -> None:
    assert change_of_the_first(name, FlowMap(Network(), Linear(), "x1")).item() < 1e-12
    mixing = FlowMap(Network(mixes_batch=True), Linear(), "x1")
    assert change_of_the_first(name, mixing).item() > 1e-6


@every_objective
def test_the_generator_decides(name: str) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    first, again, other = (losses_of(name, flow_map, seed=seed).total for seed in (2, 2, 3))
    assert torch.equal(first, again)
    assert not (first == other).any()


@every_objective
def test_nothing_but_the_generator_is_drawn_from(name: str) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    state = torch.get_rng_state()
    losses_of(name, flow_map)
    assert torch.equal(torch.get_rng_state(), state)


def gradients(losses: Losses, flow_map: FlowMap) -> list[Tensor]:
    return list(torch.autograd.grad(losses.total.mean(), list(flow_map.parameters())))


# A weight by size is held fixed: the gradient is not that of the weighted loss.
WEIGHTED = {name for name in VARIANTS if VARIANTS[name]().weight.power}
# The target holds the output itself, so that a slow copy does not freeze all of it.
OWN_TARGET = {"cumulative-jvp", "cumulative-difference", "eulerian"}
# The slow copy is read where the map leads, under stop-gradient; test_distillation has it.
READS_AHEAD = {"lagrangian", "terminal-velocity-matching", "data-free"}


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - WEIGHTED - OWN_TARGET - READS_AHEAD))
def test_gradients_reach_the_map_and_not_its_average(name: str) -> None:
    """The gradient is the change of the loss as the map moves and its copy stands still."""
    flow_map = FlowMap(Network(), Linear(), "x1")

    class TwoFaced(nn.Module):
        """The moved network where gradients flow, the old one where they do not."""

        def __init__(self, moved: nn.Module) -> None:
            super().__init__()
            self.moved = moved

        def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None) -> Tensor:
            """One of the two."""
            network = self.moved if torch.is_grad_enabled() else flow_map.backbone
            out: Tensor = network(x, t, r, cond)
            return out

    def loss(moved: FlowMap) -> float:
        two_faced = FlowMap(TwoFaced(moved.backbone), Linear(), "x1")
        with torch.enable_grad():
            return losses_of(name, two_faced, average=flow_map).total.mean().item()

    assert_gradient(gradients(losses_of(name, flow_map), flow_map)[0], loss, flow_map)


@pytest.mark.parametrize("name", sorted(OWN_TARGET))
def test_the_gradient_is_that_of_the_loss_with_targets_frozen(name: str) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    gradient = gradients(losses_of(name, flow_map), flow_map)[0]
    assert_gradient(gradient, frozen_target(name, flow_map), flow_map)
    with pytest.raises(AssertionError):
        assert_gradient(2 * gradient, frozen_target(name, flow_map), flow_map)


def assert_gradient(gradient: Tensor, loss: Callable[[FlowMap], float], flow_map: FlowMap) -> None:
    """The gradient in the first parameter is the central difference of a loss of maps."""
    parameter = next(flow_map.parameters())
    direction = torch.randn(
        parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    h = 1e-5
    values = []
    for sign in (1, -1):
        moved = copy.deepcopy(flow_map)
        with torch.no_grad():
            next(moved.parameters()).add_(sign * h * direction)
            values.append(loss(moved))
    difference = (values[0] - values[1]) / (2 * h)
    assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-6)


def frozen_target(name: str, flow_map: FlowMap) -> Callable[[FlowMap], float]:
    """The mean loss of a map against the targets of `flow_map`.

    Regression on a frozen target y has the gradient 2 (m - y) / size at the output m: y follows.
    """
    seen: dict[str, Tensor] = {}

    class Cut(nn.Module):
        """The network, cut off at the output that carries the gradient."""

        def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None) -> Tensor:
            """The output, kept as a leaf."""
            out: Tensor = flow_map.backbone(x, t, r, cond)
            if torch.is_grad_enabled() and "x" not in seen:
                seen.update(x=x, t=t, r=r, out=out.detach().requires_grad_())
                return seen["out"]
            return out

    losses = losses_of(name, FlowMap(Cut(), Linear(), "x1"))
    (error,) = torch.autograd.grad(losses.total.sum(), seen["out"])
    target = (seen["out"] - error * seen["out"].shape[1] / 2).detach()

    def loss(moved: FlowMap) -> float:
        out = moved.field(seen["x"], seen["t"], seen["r"], batch()[2])
        return (out - target).square().mean().item()

    return loss


@every_objective
def test_accumulated_gradients_are_those_of_the_whole_batch(name: str) -> None:
    """A loss is a sum over examples: their gradients may be taken one by one."""
    flow_map = FlowMap(Network(), Linear(), "x1")
    total = losses_of(name, flow_map).total
    whole = torch.autograd.grad(total.mean(), list(flow_map.parameters()), retain_graph=True)
    for half in total.chunk(2):
        (half.sum() / len(total)).backward(retain_graph=True)
    for parameter, gradient in zip(flow_map.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)
    total[:8].mean().backward()
    assert not torch.allclose(next(flow_map.parameters()).grad, whole[0], rtol=1e-3)


@every_objective
def test_functional_gradients_are_those_of_backward(name: str) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")

    class Loss(nn.Module):
        """The mean loss as a module, whose weights torch.func may replace."""

        def __init__(self) -> None:
            super().__init__()
            self.flow_map = flow_map

        def forward(self) -> Tensor:
            """Mean loss."""
            return losses_of(name, self.flow_map).total.mean()

    module = Loss()
    weights = {key: value.detach() for key, value in module.named_parameters()}
    found = torch.func.grad(lambda w: torch.func.functional_call(module, w, ()))(weights)
    for gradient, expected in zip(
        found.values(), gradients(losses_of(name, flow_map), flow_map), strict=True
    ):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
        assert expected.abs().max().item() > 1e-6


@every_objective
def test_losses_under_autocast_are_near_those_without(name: str) -> None:
    """bfloat16 has three digits; derivatives are taken in float32 in any case."""
    flow_map = FlowMap(Network().float(), Linear(), "x1")
    x0, x1, cond = batch()
    ends = (x0.float(), x1.float(), cond)
    values = []
    for enabled in (False, True):
        generator = torch.Generator().manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses = VARIANTS[name]()(flow_map, *ends, generator=generator)
        losses.total.float().mean().backward()
        values.append(losses.total.float().detach())
    scale = values[0].mean()
    assert (values[1] - values[0]).abs().max().item() < 0.05 * scale.item() + 0.05
    assert not torch.equal(values[0], values[1])


@every_objective
def test_no_gradient_reaches_the_average(name: str) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    average = copy.deepcopy(flow_map)
    losses = losses_of(name, flow_map, average=average)
    expected = gradients(losses_of(name, flow_map), flow_map)
    losses.total.mean().backward()
    assert all(parameter.grad is None for parameter in average.parameters())
    for parameter, gradient in zip(flow_map.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)


def test_the_slow_copy_gives_the_targets_of_the_averaging_law() -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    average = copy.deepcopy(flow_map)
    with torch.no_grad():
        next(average.parameters()).mul_(2.0)
    own, other = (losses_of("cumulative-average", flow_map, average=m) for m in (None, average))
    on_diagonal = own.terms["diagonal"] > 0
    assert torch.equal(own.total[on_diagonal], other.total[on_diagonal])
    assert not torch.isclose(own.total[~on_diagonal], other.total[~on_diagonal]).any()


@pytest.mark.parametrize(
    ("space", "expected"),
    [("field", 1.0), ("velocity", 1 / 0.36), ("edm", 1 / 0.25 + (0.4 / 0.6) ** 2)],
)
def test_weights_by_time(space: str, expected: float) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    error, t = torch.full((1, 3), 0.5), torch.full((1,), 0.4)
    weight = Weight(space=space, data_std=0.5)
    assert weight(flow_map, error, t).item() == pytest.approx(0.25 * expected, rel=1e-5)


def test_weights_are_limited_at_the_data() -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    weight = Weight(space="velocity", limit=9.0)
    assert weight(flow_map, torch.ones(1, 3), torch.ones(1)).item() == 9.0


def test_the_adaptive_weight_removes_the_scale() -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    weight = Weight(power=1.0, floor=1e-6)
    for size in (0.1, 10.0):
        error = torch.full((1, 3), size, requires_grad=True)
        (gradient,) = torch.autograd.grad(weight(flow_map, error, torch.ones(1)).sum(), error)
        assert (gradient * error).sum().item() == pytest.approx(2.0, rel=1e-3)


def test_an_unknown_space_is_refused() -> None:
    refused = pytest.raises(ValueError, match="must be field, velocity or edm, got 'pixel'")
    with unchecked(), refused:
        Weight(space="pixel")(FlowMap(Network(), Linear(), "x1"), torch.ones(1, 3), torch.ones(1))


def test_half_of_the_losses_are_on_the_diagonal_by_default() -> None:
    """Without them training collapses: Li et al., 2026, arXiv:2605.03623."""
    x0, x1 = torch.randn(2, 4_000, 3, dtype=torch.float64)
    flow_map = FlowMap(Network(), Linear(), "x1")
    losses = Cumulative()(flow_map, x0, x1, generator=torch.Generator().manual_seed(4))
    share = (losses.terms["diagonal"] > 0).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.04)
    none = Cumulative(times=UniformPairs(diagonal=0.0))(flow_map, x0, x1)
    assert not (none.terms["diagonal"] > 0).any()


CASES_OF_ONE_CELL = [name for name in SPECIAL_CASES if SPECIAL_CASES[name].build().cell]


def test_the_default_of_training_suits_all_cells() -> None:
    assert {"mean-flow", "progressive-distillation", "trigflow"} <= {*CASES_OF_ONE_CELL}
    assert "shortcut" not in CASES_OF_ONE_CELL


@pytest.mark.parametrize("name", CASES_OF_ONE_CELL)
def test_a_published_model_refuses_another_cell(name: str) -> None:
    x0, x1, cond = batch()
    case, objective = SPECIAL_CASES[name], SPECIAL_CASES[name].build()
    assert objective(FlowMap(Network(), case.interpolant, case.prediction), x0, x1, cond)
    for cell in (("ve", case.prediction), (case.interpolant, "x0")):
        flow_map = FlowMap(Network(), *cell)
        here = f"path {case.interpolant} and the prediction {case.prediction}"
        came = f"{type(flow_map.interpolant).__name__} and {cell[1]}"
        with pytest.raises(ValueError, match=f"{here}, got {came}") as refusal:
            objective(flow_map, x0, x1, cond)
        assert "\n" not in str(refusal.value)
        assert replace(objective, cell=None)(flow_map, x0, x1, cond).total.shape == (16,)


def test_an_end_without_a_limit_is_refused() -> None:
    x0, x1, cond = batch()
    objective = Lagrangian(times=UniformPairs(diagonal=0.0, end=1.0))
    with pytest.raises(ValueError, match="Data prediction has no velocity at an end of Variance"):
        objective(FlowMap(Network(), "vp", "x1"), x0, x1, cond)
    for cell in (("linear", "u"), ("linear", "x1"), ("trigonometric", "x1"), ("ve", "x1")):
        losses = objective(FlowMap(Network(), *cell), x0, x1, cond)
        assert losses.total.isfinite().all()
