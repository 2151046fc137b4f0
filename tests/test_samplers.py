"""Laws of the samplers on the exact flow of Gaussian data, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from cells import every_cell, unchecked
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.oracles.gaussian import GaussianField
from geoflow.samplers import (
    Landing,
    Method,
    count_evaluations,
    sample_consistency,
    sample_flow_map,
    sample_ode,
    start_state,
)
from geoflow.typing import Times

MEAN = torch.tensor([0.7, -0.4], dtype=torch.float64)
STD = torch.tensor([0.3, 1.5], dtype=torch.float64)


class Counting(nn.Module):
    """Counts the evaluations of a backbone."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.evaluations = 0

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """Evaluate once."""
        self.evaluations += 1
        out: Tensor = self.backbone(x, t, r, cond)
        return out


def oracle(path_key: str, key: str) -> FlowMap:
    return GaussianField.flow_map(MEAN, STD, INTERPOLANTS[path_key](), key)


def exact(flow_map: FlowMap, x0: Tensor) -> Tensor:
    assert isinstance(flow_map.backbone, GaussianField)
    t = torch.zeros(len(x0), dtype=x0.dtype)
    return flow_map.backbone.flow(start_state(flow_map, x0), t, torch.ones_like(t))


def noise() -> Tensor:
    return torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("steps", [1, 2, 7])
@every_cell
def test_the_exact_map_lands_in_any_number_of_steps(path_key: str, key: str, steps: int) -> None:
    if key == "x0":
        # Cannot start in pure noise: refused below.
        return
    flow_map, x0 = oracle(path_key, key), noise()
    *_, x1 = sample_flow_map(flow_map, x0, steps=steps)
    torch.testing.assert_close(x1, exact(flow_map, x0), rtol=1e-8, atol=1e-8)


def test_a_wrong_map_does_not_land() -> None:
    flow_map, x0 = oracle("linear", "x1"), noise()
    wrong = GaussianField.flow_map(MEAN + 0.1, STD, INTERPOLANTS["linear"](), "x1")
    *_, x1 = sample_flow_map(wrong, x0, steps=1)
    assert (x1 - exact(flow_map, x0)).abs().min() > 0.05


def order(path_key: str, key: str, method: Method) -> float:
    """Slope of the log error over the log step."""
    flow_map, x0 = oracle(path_key, key), noise()
    counts = [64, 128]
    errors = []
    # The noise of vp ends with infinite slope: data alone keeps thin data, velocity the order.
    landing: Landing = "velocity" if path_key == "vp" else "data"
    for steps in counts:
        *_, x1 = sample_ode(flow_map, x0, steps=steps, method=method, landing=landing)
        errors.append((x1 - exact(flow_map, x0)).square().mean().sqrt().item())
    return math.log(errors[0] / errors[-1]) / math.log(counts[-1] / counts[0])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "expected"), [("euler", 1), ("heun", 2)])
@every_cell
def test_order_of_convergence(path_key: str, key: str, method: Method, expected: int) -> None:
    if key != "x0":
        assert order(path_key, key, method) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("steps", [8, pytest.param(32, marks=pytest.mark.slow)])
@every_cell
def test_heun_leaves_no_noise_on_thin_data(path_key: str, key: str, steps: int) -> None:
    """On data of one point every trajectory ends there, whatever the step."""
    if key == "x0":
        return
    place = torch.tensor([0.7, -0.4], dtype=torch.float64)
    flow_map = GaussianField.flow_map(place, 0 * place, INTERPOLANTS[path_key](), key)
    # The field of x1 is the point; the others are 0 / 0 at t = 1 alone, where none is read.
    x1 = list(sample_ode(flow_map, noise(), steps=steps, method="heun"))[-1]
    assert (x1 - place).abs().max() < 1e-9
    if path_key == "vp":
        left = list(sample_ode(flow_map, noise(), steps=steps, method="heun", landing="velocity"))
        assert (left[-1] - place).abs().mean() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path_key", "thin", "steps"),
    [("linear", 0.05, 256), ("trigonometric", 0.05, 256), ("ve", 0.001, 32)],
)
def test_order_on_thin_data_is_that_of_steps_shorter_than_it(
    path_key: str, thin: float, steps: int
) -> None:
    """A slab as thin as `thin`; longer steps leave its thickness, whatever their number."""
    std, x0 = torch.tensor([thin, 1.5], dtype=torch.float64), noise()
    flow_map = GaussianField.flow_map(MEAN, std, INTERPOLANTS[path_key](), "x1")

    def error(steps: int) -> float:
        *_, x1 = sample_ode(flow_map, x0, steps=steps, method="heun")
        return (x1 - exact(flow_map, x0)).square().mean().sqrt().item()

    errors = [error(num) for num in (steps, 2 * steps)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    if path_key != "ve":
        thinner = GaussianField.flow_map(MEAN, 0.02 * std, INTERPOLANTS[path_key](), "x1")
        *_, x1 = sample_ode(thinner, x0, steps=steps, method="heun")
        off = (x1 - exact(thinner, x0))[:, 0].abs()
        assert 0.2 * 0.02 * thin < off.mean() < 0.02 * thin


def test_landing_on_data_costs_accuracy_on_vp_where_data_are_smooth() -> None:
    flow_map, x0 = oracle("vp", "x1"), noise()
    ratios = {}
    landings: tuple[Landing, ...] = ("data", "velocity")
    for landing in landings:
        errors = []
        for steps in (64, 128):
            *_, x1 = sample_ode(flow_map, x0, steps=steps, method="heun", landing=landing)
            errors.append((x1 - exact(flow_map, x0)).square().mean().sqrt().item())
        ratios[landing] = errors[0] / errors[1]
    assert ratios["data"] < 3.2 < 3.6 < ratios["velocity"]


@pytest.mark.parametrize("key", ["x1", "u", "v"])
def test_heun_on_falling_noise_levels_is_that_of_edm(key: str) -> None:
    """Algorithm 1 of Karras et al., 2022, without churn; and nearer than in time."""
    flow_map, x0 = oracle("ve", key), noise()
    field, path = flow_map.backbone, flow_map.interpolant
    assert isinstance(field, GaussianField)
    times = torch.linspace(0, 1, 13, dtype=torch.float64)
    sigmas = path.alpha(times)

    def slope(x: Tensor, i: int) -> Tensor:
        _, denoised = field.ends(x, times[i].expand(len(x)))
        return (x - denoised) / sigmas[i]

    x = sigmas[0] * x0
    for i in range(12):
        d = slope(x, i)
        ahead = x + (sigmas[i + 1] - sigmas[i]) * d
        if i < 11:
            ahead = x + (sigmas[i + 1] - sigmas[i]) * (d + slope(ahead, i + 1)) / 2
        x = ahead
    *_, ours = sample_ode(flow_map, x0, steps=12, method="heun")
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)
    # In time, as the velocity has it, the same levels are several times worse.
    warped = 80 * x0
    for start, end in itertools.pairwise(times):
        t, r = start.expand(20), end.expand(20)
        b = field.velocity(warped, t)
        ahead = warped + (end - start) * b
        if end < 1:
            ahead = warped + (end - start) * (b + field.velocity(ahead, r)) / 2
        warped = ahead
    gap = [(end - exact(flow_map, x0)).square().mean().sqrt() for end in (ours, warped)]
    assert gap[1] > 3 * gap[0]


def test_an_unknown_landing_is_refused() -> None:
    with pytest.raises(ValueError, match="landing must be data or velocity"), unchecked():
        next(sample_ode(oracle("vp", "x1"), noise(), method="heun", landing="sea"))  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("method", ["map", "euler", "heun"])
def test_evaluations_are_those_stated(method: str, steps: int) -> None:
    exact_map = oracle("linear", "x1")
    backbone = Counting(exact_map.backbone)
    flow_map = FlowMap(backbone, exact_map.interpolant, "x1")
    if method == "map":
        states = list(sample_flow_map(flow_map, noise(), steps=steps))
    else:
        states = list(sample_ode(flow_map, noise(), steps=steps, method=method))  # type: ignore[arg-type]
    assert len(states) == steps + 1
    assert backbone.evaluations == count_evaluations(method, steps)  # type: ignore[arg-type]
    assert backbone.evaluations == (2 * steps - 1 if method == "heun" else steps)


def test_the_first_state_is_the_scaled_noise_and_inputs_stay() -> None:
    x0 = noise()
    before = x0.clone()
    first, *_ = sample_flow_map(oracle("ve", "x1"), x0, steps=1)
    torch.testing.assert_close(first, 80 * before, rtol=1e-12, atol=0)
    assert torch.equal(x0, before)


def test_a_grid_of_times_replaces_equal_steps() -> None:
    flow_map, x0 = oracle("linear", "x1"), noise()
    times = torch.tensor([0.0, 0.7, 1.0])
    _, middle, x1 = sample_flow_map(flow_map, x0, times=times)
    assert isinstance(flow_map.backbone, GaussianField)
    t = torch.zeros(len(x0), dtype=x0.dtype)
    torch.testing.assert_close(
        middle, flow_map.backbone.flow(x0, t, t + times[1].double()), rtol=1e-8, atol=1e-8
    )
    torch.testing.assert_close(x1, exact(flow_map, x0), rtol=1e-8, atol=1e-8)


def test_noise_prediction_starts_after_pure_noise() -> None:
    flow_map, x0 = oracle("linear", "x0"), noise()
    with pytest.raises(ValueError, match="Noise prediction cannot start at time"):
        next(sample_flow_map(flow_map, x0, steps=2))
    *_, x1 = sample_flow_map(flow_map, x0, times=torch.tensor([1e-3, 0.5, 1.0]))
    assert x1.isfinite().all()


@pytest.mark.parametrize(
    ("steps", "times", "message"),
    [
        (0, None, "steps must be at least 1, got 0"),
        (2, [0.0, 0.5], "times must rise"),
        (2, [0.0, 0.6, 0.5, 1.0], "times must rise"),
        (2, [-0.1, 1.0], "times must rise"),
        (2, [1.0], "times must rise"),
    ],
)
def test_a_bad_grid_is_refused(steps: int, times: list[float] | None, message: str) -> None:
    grid = None if times is None else torch.tensor(times, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        next(sample_flow_map(oracle("linear", "u"), noise(), steps=steps, times=grid))


def test_an_unknown_method_is_refused() -> None:
    refused = pytest.raises(ValueError, match="method must be map, euler, heun, got 'midpoint'")
    with unchecked(), refused:
        next(sample_ode(oracle("linear", "u"), noise(), steps=2, method="midpoint"))  # type: ignore[arg-type]


def test_jumps_to_the_end_with_fresh_noise_between_keep_the_distribution() -> None:
    flow_map = oracle("linear", "x1")
    x0 = torch.randn(20_000, *noise().shape[1:], dtype=torch.float64)
    generator = torch.Generator().manual_seed(7)
    first, *ends = sample_consistency(flow_map, x0, steps=3, generator=generator)
    assert torch.equal(first, x0)
    assert len(ends) == 3
    expected = exact(flow_map, x0)
    torch.testing.assert_close(ends[0], expected)
    for end in ends[1:]:
        # Other samples of the same distribution.
        assert (end - expected).abs().max().item() > 0.1
        assert (end.mean(0) - expected.mean(0)).abs().max().item() < 0.1
        assert (end.std(0) / expected.std(0) - 1).abs().max().item() < 0.03
    again = list(
        sample_consistency(flow_map, x0, steps=3, generator=torch.Generator().manual_seed(7))
    )
    assert torch.equal(again[-1], ends[-1])


def test_jumps_to_the_end_are_counted() -> None:
    flow_map = oracle("linear", "x1")
    calls: list[float] = []

    class Counted(nn.Module):
        def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
            assert bool((r == 1).all())
            calls.append(t[0].item())
            out: Tensor = flow_map.backbone(x, t, r, cond)
            return out

    counted = FlowMap(Counted(), flow_map.interpolant, "x1")
    list(sample_consistency(counted, noise(), steps=4))
    assert calls == [0.0, 0.25, 0.5, 0.75]
