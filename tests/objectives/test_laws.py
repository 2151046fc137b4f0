"""Laws of every objective: whose gradient it is, and that an example's loss is its own."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from geoflow.flow_map import FlowMap
from geoflow.interpolant import Linear
from geoflow.objectives import OBJECTIVES, Cumulative, Losses, Objective, Weight
from geoflow.times import UniformPairs
from geoflow.typing import Condition, Times

VARIANTS: dict[str, Callable[[], Objective]] = {
    **OBJECTIVES,
    "cumulative-jvp": lambda: Cumulative(derivative="jvp"),
    "cumulative-difference": lambda: Cumulative(derivative="difference"),
    "cumulative-average": lambda: Cumulative(derivative="average", split=0.5),
    "mean-flow-weight": lambda: Cumulative(weight=Weight(space="velocity", power=1.0)),
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
    name: str, flow_map: FlowMap, x1: Tensor | None = None, teacher: FlowMap | None = None
) -> Losses:
    x0, data, cond = batch()
    generator = torch.Generator().manual_seed(2)
    return VARIANTS[name]()(
        flow_map, x0, data if x1 is None else x1, cond, generator=generator, teacher=teacher
    )


@every_objective
def test_terms_sum_to_the_total(name: str) -> None:
    losses = losses_of(name, FlowMap(Network(), Linear(), "x1"))
    assert losses.total.shape == (16,)
    torch.testing.assert_close(sum(losses.terms.values()), losses.total, rtol=1e-12, atol=0)
    assert all(bool((term >= 0).all()) for term in losses.terms.values())


def change_of_the_first(name: str, flow_map: FlowMap) -> Tensor:
    """How the first example's loss changes with the data of the others."""
    _, x1, _ = batch()
    other = x1.clone()
    other[1:] += 1.0
    before, after = losses_of(name, flow_map, x1).total, losses_of(name, flow_map, other).total
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
    assert torch.equal(losses_of(name, flow_map).total, losses_of(name, flow_map).total)


def gradients(losses: Losses, flow_map: FlowMap) -> list[Tensor]:
    return list(torch.autograd.grad(losses.total.mean(), list(flow_map.parameters())))


# The adaptive weight is frozen too: its gradient is not that of the weighted loss. The others
# carry their gradient through more than one output; test_distillation has them.
OTHERS = {"mean-flow-weight", "lagrangian", "consistency"}


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in OTHERS])
def test_the_gradient_is_that_of_the_loss_with_targets_frozen(name: str) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    parameter = next(flow_map.parameters())
    gradient = gradients(losses_of(name, flow_map), flow_map)[0]
    frozen = frozen_target(name, flow_map)
    direction = torch.randn(
        parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    h = 1e-5
    values = []
    for sign in (1, -1):
        moved = copy.deepcopy(flow_map)
        with torch.no_grad():
            next(moved.parameters()).add_(sign * h * direction)
            values.append(frozen(moved))
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
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    teacher = copy.deepcopy(flow_map)
    losses = losses_of(name, flow_map, teacher=teacher)
    expected = gradients(losses_of(name, flow_map), flow_map)
    losses.total.mean().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for parameter, gradient in zip(flow_map.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)


def test_the_teacher_gives_the_targets_of_the_average() -> None:
    flow_map = FlowMap(Network(), Linear(), "x1")
    teacher = copy.deepcopy(flow_map)
    with torch.no_grad():
        next(teacher.parameters()).mul_(2.0)
    own, other = (losses_of("cumulative-average", flow_map, teacher=m) for m in (None, teacher))
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
    weight = Weight(space=space, data_std=0.5)  # type: ignore[arg-type]
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
    weight = Weight(space="pixel")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be field, velocity or edm, got 'pixel'"):
        weight(FlowMap(Network(), Linear(), "x1"), torch.ones(1, 3), torch.ones(1))


def test_half_of_the_pairs_is_on_the_diagonal_by_default() -> None:
    assert isinstance(times := Cumulative().times, UniformPairs)
    assert times.diagonal == 0.5
