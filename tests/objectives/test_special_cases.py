"""Published few-step models are settings of the family: their formulas, as printed, against ours.

Each formula is written here in its paper's own symbols and shown to give the target, or the
gradient, of the setting in SPECIAL_CASES; a neighbour of the setting does not.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from gaussian_cases import FixedPairs, Network, pairs
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.objectives import SPECIAL_CASES, Consistency, NeuralOperator, Objective, Weight
from geoflow.objectives.progressive import composed_field
from geoflow.samplers import sample_ode

NUM = 40
T, R = 0.3, 0.8


def case(name: str, r: float = R) -> tuple[Objective, FlowMap]:
    """A special case at one pair of times without weights, and a random network in its cell."""
    special = SPECIAL_CASES[name]
    plain = replace(special.build(), times=FixedPairs(T, r), weight=Weight())
    flow_map = FlowMap(Network(), special.interpolant or "linear", special.prediction or "x1")
    return plain, flow_map


def gradient(total: Tensor, flow_map: FlowMap) -> Tensor:
    return torch.autograd.grad(total.mean(), flow_map.backbone.first)[0]


def regression(flow_map: FlowMap, x: Tensor, r: float, target: Tensor) -> Tensor:
    """Gradient of the mean square against a target that is held fixed."""
    output = flow_map.field(x, full(T), full(r))
    return gradient((output - target.detach()).square().mean(1), flow_map)


def full(time: float) -> Tensor:
    return torch.full((NUM,), time, dtype=torch.float64)


def test_mean_flow() -> None:
    """u_tgt = v - (t - r) du/dt, with noise at t = 1 (Geng et al., 2025, algorithm 1)."""
    objective, flow_map = case("mean-flow")
    x0, x1 = pairs(NUM)
    # Their clock runs from data to noise, as does their velocity.
    theirs_t, theirs_r = 1 - T, 1 - R
    z, v = (1 - theirs_t) * x1 + theirs_t * x0, x0 - x1

    def u(z: Tensor, time: Tensor) -> Tensor:
        return -flow_map.field(z, 1 - time, full(R))

    _, dudt = torch.func.jvp(u, (z, full(theirs_t)), (v, torch.ones(NUM).double()))
    u_tgt = v - (theirs_t - theirs_r) * dudt
    expected = regression(flow_map, z, R, -u_tgt)
    found = gradient(objective(flow_map, x0, x1).total, flow_map)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    without = regression(flow_map, z, R, -v)
    assert not torch.allclose(found, without, rtol=1e-2)


@pytest.mark.parametrize("key", ["u", "x1"])
def test_euler_mean_flow(key: str) -> None:
    """m <- m_t + ((r - s) ... / d) (m_{s->r}(x_s) - sg m_{t->r}(x)), as in Li et al., 2026."""
    objective, _ = case("euler-mean-flow")
    flow_map = FlowMap(Network(), "linear", key)
    objective = replace(objective, step=0.1, least_share=1e-9)
    x0, x1 = pairs(NUM)
    d, s = 0.1, T + 0.1
    x, x_s = (1 - T) * x0 + T * x1, (1 - s) * x0 + s * x1
    here, there = flow_map.field(x, full(T), full(R)), flow_map.field(x_s, full(s), full(R))
    if key == "u":
        target = (x1 - x0) + (R - s) / d * (there - here)
    else:
        target = x1 + (R - s) * (1 - T) / ((1 - R) * d) * (there - here)
    found = gradient(objective(flow_map, x0, x1).total, flow_map)
    torch.testing.assert_close(found, regression(flow_map, x, R, target), rtol=1e-8, atol=1e-11)
    plain = replace(objective, least_share=1.0)
    assert not torch.allclose(found, gradient(plain(flow_map, x0, x1).total, flow_map), rtol=1e-2)


def test_consistency_training_is_the_two_time_loss_at_the_end() -> None:
    """|f(x_t) - sg f(x_{t+h})|^2 with f = psi_{t->1} = m (Song et al., 2023, eq. 10)."""
    flow_map = FlowMap(Network(), "linear", "x1")
    x0, x1 = pairs(NUM)
    s = T + 0.05
    x, x_s = (1 - T) * x0 + T * x1, (1 - s) * x0 + s * x1
    f_s = flow_map(x_s, full(s), full(1.0))
    expected = regression(flow_map, x, 1.0, f_s)
    objective = Consistency(times=FixedPairs(T, 1.0))
    found = gradient(objective(flow_map, x0, x1).total, flow_map)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    earlier = Consistency(times=FixedPairs(T, R))
    assert not torch.allclose(found, gradient(earlier(flow_map, x0, x1).total, flow_map), rtol=1e-2)


def test_shortcut() -> None:
    """s_target = (s(x, t, d) + s(x + d s, t + d, d)) / 2 for the step 2 d (Frans et al., 2024)."""
    objective, flow_map = case("shortcut")
    x0, x1 = pairs(NUM)
    d = (R - T) / 2
    x = (1 - T) * x0 + T * x1
    first = flow_map.field(x, full(T), full(T + d))
    second = flow_map.field(x + d * first, full(T + d), full(R))
    expected = regression(flow_map, x, R, (first + second) / 2)
    found = gradient(objective(flow_map, x0, x1).total, flow_map)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(found, regression(flow_map, x, R, first), rtol=1e-2)


@pytest.mark.parametrize("name", ["alpha-flow", "soflow"])
@pytest.mark.parametrize("alpha", [1.0, 0.4, 0.1])
def test_jumps_of_a_share_of_the_way(name: str, alpha: float) -> None:
    """|u - (a v + (1 - a) u_{s->r}(x_s))|^2 / a, s the share a of the way (AlphaFlow, eq. 9).

    SoFlow compares states, f_{t->r}(x_t) and f_{s->r}(x_t + (s - t) v).
    """
    objective, flow_map = case(name)
    objective = replace(objective, step=alpha)
    x0, x1 = pairs(NUM)
    s = T + alpha * (R - T)
    x, v = (1 - T) * x0 + T * x1, x1 - x0
    x_s = x + (s - T) * v
    later = flow_map.field(x_s, full(s), full(R))
    if name == "alpha-flow":
        expected = regression(flow_map, x, R, alpha * v + (1 - alpha) * later) / alpha
    else:
        end = x + (R - T) * flow_map.field(x, full(T), full(R))
        error = end - (x_s + (R - s) * later).detach()
        expected = gradient(error.square().mean(1) / ((s - T) * (R - T)), flow_map)
    found = gradient(objective(flow_map, x0, x1).total, flow_map)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    without = gradient(replace(objective, least_share=1.0)(flow_map, x0, x1).total, flow_map)
    assert (alpha == 1) == torch.allclose(found, without, rtol=1e-3)


def test_mid_training() -> None:
    """d(f(x_i), x_M) along a solver's trajectory from noise (Hu et al., 2025, eq. 3)."""
    objective, flow_map = case("mid-training")
    assert isinstance(objective, NeuralOperator)
    teacher = copy.deepcopy(flow_map)
    objective = replace(objective, frozen=teacher, solver_steps=5)
    x0, x1 = pairs(NUM)
    found = objective(flow_map, x0, x1, generator=torch.Generator().manual_seed(0)).total
    generator = torch.Generator().manual_seed(0)
    shift = torch.rand((), generator=generator, dtype=torch.float64)
    inner = (torch.arange(1, 5, dtype=torch.float64) - shift) / 5
    grid = torch.cat([torch.zeros(1).double(), inner, torch.ones(1).double()])
    states = list(sample_ode(teacher, x0, method="heun", times=grid))
    # With x1 the field at r = 1 is where the map lands.
    losses = [
        (flow_map(state, full(time), full(1.0)) - states[-1]).square().mean(1)
        for state, time in zip(states[:-1], grid[:-1].tolist(), strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(losses).mean(0), rtol=1e-9, atol=1e-12)
    from_noise = replace(objective, to_end=False)
    other = from_noise(flow_map, x0, x1, generator=torch.Generator().manual_seed(0)).total
    assert not torch.allclose(found, other, rtol=1e-3)


def test_progressive_distillation() -> None:
    """x~ = (z'' - (s''/s) z) / (a'' - (s''/s) a) after two DDIM steps (Salimans & Ho, 2022)."""
    _, flow_map = case("progressive-distillation")
    teacher = flow_map.diagonal()
    path = flow_map.interpolant
    x0, x1 = pairs(NUM)
    z = path.interpolate(x0, x1, full(T))
    times = [full(T), full((T + R) / 2), full(R)]
    alpha = [path.beta(t)[:, None] for t in times]
    sigma = [path.alpha(t)[:, None] for t in times]
    state = z
    for i in range(2):
        x_hat = flow_map.field(state, times[i], times[i])
        state = alpha[i + 1] * x_hat + sigma[i + 1] / sigma[i] * (state - alpha[i] * x_hat)
    ratio = sigma[2] / sigma[0]
    printed = (state - ratio * z) / (alpha[2] - ratio * alpha[0])
    ours = composed_field(flow_map, teacher, z, full(T), full(R), jumps=2)
    torch.testing.assert_close(ours, printed, rtol=1e-9, atol=1e-12)
    three = composed_field(flow_map, teacher, z, full(T), full(R), jumps=3)
    assert not torch.allclose(three, printed, rtol=1e-3)


def test_trigflow() -> None:
    """g = -cos^2 (F - dx/dt) - cos sin (x + dF/dt) (Lu & Song, 2024, eq. 6), time from the data.

    Their gradient is that of F towards F + g; ours, along the same tangent g / cos.
    """
    objective, flow_map = case("trigflow", r=1.0)
    x0, x1 = pairs(NUM)
    angle = math.pi / 2 * (1 - T)
    cos, sin = math.cos(angle), math.sin(angle)
    x, dx = cos * x1 + sin * x0, -sin * x1 + cos * x0

    def network(x: Tensor, angle: Tensor) -> Tensor:
        # f = cos x - sin F is their map to the data, so that F = -m.
        return -flow_map.field(x, 1 - angle / (math.pi / 2), full(1.0))

    inputs = (x, torch.full((NUM,), angle, dtype=torch.float64))
    output, slope = torch.func.jvp(network, inputs, (dx, torch.ones(NUM).double()))
    g = -(cos**2) * (output - dx) - cos * sin * (x + slope)
    assert torch.allclose(cos * x - sin * output, flow_map(x, full(T), full(1.0)))
    expected = regression(flow_map, x, 1.0, -(output + g / cos))
    found = gradient(objective(flow_map, x0, x1).total, flow_map)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    other = regression(flow_map, x, 1.0, -(output + cos * (dx - output)))
    assert not torch.allclose(found, other, rtol=1e-2)


def test_the_weight_of_trigflow_normalises_its_tangent() -> None:
    """Examples of errors of different sizes pull alike."""
    weight = SPECIAL_CASES["trigflow"].build().weight
    flow_map = case("trigflow")[1]
    pulls = []
    for size in (1.0, 30.0):
        error = torch.full((1, 3), size, requires_grad=True)
        pulls.append(torch.autograd.grad(weight(flow_map, error, torch.ones(1)).sum(), error)[0])
    torch.testing.assert_close(pulls[0], pulls[1], rtol=0.02, atol=0)
