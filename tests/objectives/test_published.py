"""The four published cumulative flow maps are settings of one identity.

Reference: Li et al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026,
arXiv:2605.03623.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from gaussian_cases import Network, oracle, pairs, states
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.objectives.cumulative import cumulative_residual, derivative_jvp


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
    flow_map = FlowMap(Network(), *cell)
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


def test_the_printed_target_is_singular_at_the_data() -> None:
    x0, x1 = pairs(4)
    t, r = torch.full((4, 1), 0.4).double(), torch.ones(4, 1).double()
    inputs = Printed({}, lambda *_: torch.ones_like(x0), x0, x0, x1, t, r)
    assert not printed_x1(inputs).isfinite().any()
