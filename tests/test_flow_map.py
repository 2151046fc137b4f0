"""Laws of the flow map that hold for any network, trained or not."""

from __future__ import annotations

import pytest
import torch
from cells import every_cell
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap, Preconditioned
from geoflow.interpolant import INTERPOLANTS, Linear, VarianceExploding
from geoflow.typing import Times


class Network(nn.Module):
    """A smooth random network of state and two times."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(5, 16, generator=generator).to(dtype) / 2)
        self.second = nn.Parameter(torch.randn(16, 3, generator=generator).to(dtype) / 4)

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """Two layers."""
        inputs = torch.cat([x, t[:, None], r[:, None]], dim=-1)
        return (inputs @ self.first).tanh() @ self.second


def states(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 3, generator=generator).to(dtype)
    return x, 0.05 + 0.9 * torch.rand(40, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_cell
def test_on_the_diagonal_the_map_is_the_identity_exactly(
    path_key: str, key: str, dtype: torch.dtype
) -> None:
    flow_map = FlowMap(Network(dtype), path_key, key)
    x, t = states(dtype)
    t[0], t[1] = 0.0, 1.0
    assert torch.equal(flow_map(x, t, t), x)
    later = torch.nextafter(t, torch.full_like(t, 2.0)).clamp(max=1) + 1e-3
    assert not torch.equal(flow_map(x, t, later.clamp(max=1)), x)


@every_cell
def test_the_map_leaves_the_diagonal_with_the_velocity(path_key: str, key: str) -> None:
    flow_map = FlowMap(Network(), path_key, key)
    x, t = states()
    _, tangent = torch.func.jvp(lambda r: flow_map(x, t, r), (t,), (torch.ones_like(t),))
    velocity = flow_map.velocity(x, t)
    torch.testing.assert_close(tangent, velocity, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(tangent, flow_map.velocity(x, t + 1e-3), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path_key", INTERPOLANTS)
def test_data_prediction_lands_on_its_output_exactly(path_key: str) -> None:
    flow_map = FlowMap(Network(), path_key, "x1")
    x, t = states()
    one = torch.ones_like(t)
    assert torch.equal(flow_map(x, t, one), flow_map.field(x, t, one))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction must be one of u, x1, x0, v.*, got 'y'"):
        FlowMap(Network(), "linear", "y")
    with pytest.raises(ValueError, match=r"interpolant must be one of linear, .*, got 'curved'"):
        FlowMap(Network(), "curved", "u")


class Zero(nn.Module):
    """A network that outputs zero, and remembers the scale of what it saw."""

    seen: float = 0.0

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """Zero."""
        self.seen = x.std().item()
        return torch.zeros_like(x)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_preconditioning_is_the_best_linear_denoiser(level: float) -> None:
    path, data_std = VarianceExploding(), 0.5
    generator = torch.Generator().manual_seed(2)
    x0, noise = torch.randn(2, 50_000, 1, dtype=torch.float64, generator=generator)
    t = torch.full((50_000,), level, dtype=torch.float64)
    x1 = data_std * noise
    x = path.interpolate(x0, x1, t)
    network = Zero()
    denoised = Preconditioned(network, path, data_std=data_std)(x, t, t)
    assert network.seen == pytest.approx(1.0, abs=0.02)
    slope = (x * x1).mean() / x.square().mean()
    torch.testing.assert_close(denoised, slope * x, rtol=0.0, atol=0.05)
    assert (denoised - x1).square().mean() < (1.1 * denoised - x1).square().mean()


def test_preconditioning_needs_a_scale() -> None:
    with pytest.raises(ValueError, match=r"data_std must be positive, got 0\.0"):
        Preconditioned(Zero(), VarianceExploding(), data_std=0.0)


def test_a_path_is_given_by_its_name_or_itself() -> None:
    x, t = states()
    later = t + 0.02
    named = FlowMap(Network(), "linear", "x1")(x, t, later)
    assert torch.equal(named, FlowMap(Network(), Linear(), "x1")(x, t, later))
    assert not torch.equal(named, FlowMap(Network(), "trigonometric", "x1")(x, t, later))


class Narrow(nn.Module):
    """One channel, whatever it is given."""

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """The first channel."""
        return x[:, :1]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_backbone_of_another_shape_is_refused(channels: int) -> None:
    """Broadcasting would train it without a word."""
    x, t = states()
    x = x[:8, :channels]
    t = t[:8]
    for backbone in (Narrow(), Preconditioned(Narrow(), Linear(), data_std=0.5)):
        flow_map = FlowMap(backbone, "linear", "u")
        calls = (
            lambda flow_map=flow_map: flow_map(x, t, t),
            lambda flow_map=flow_map: flow_map.velocity(x, t),
            lambda flow_map=flow_map: flow_map.diagonal()(x, t, t),
            lambda flow_map=flow_map: torch.func.jvp(
                lambda t: flow_map.field(x, t, t), (t,), (torch.ones_like(t),)
            ),
        )
        for call in calls:
            if channels == 1:
                call()
                continue
            shapes = rf"\(8, {channels}\), got \(8, 1\)"
            with pytest.raises(ValueError, match=shapes):
                call()


@pytest.mark.compile
def test_shapes_are_checked_in_a_compiled_map() -> None:
    x, t = states()
    compiled = torch.compile(FlowMap(Network(), "linear", "u"), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, t, t), x)
    with pytest.raises(Exception, match=r"\(40, 3\), got \(40, 1\)"):
        torch.compile(FlowMap(Narrow(), "linear", "u"), backend="eager")(x, t, t)
