"""Laws of the flow map that hold for any network, trained or not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap, Preconditioned
from geoflow.interpolant import INTERPOLANTS, VarianceExploding
from geoflow.prediction import PREDICTIONS
from geoflow.typing import Times

both = pytest.mark.parametrize(
    ("path_key", "key"), [(i, p) for i in INTERPOLANTS for p in PREDICTIONS]
)


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


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_the_diagonal_the_map_is_the_identity_exactly(
    path_key: str, key: str, dtype: torch.dtype
) -> None:
    flow_map = FlowMap(Network(dtype), path_key, key)
    x, t = states(dtype)
    t[0], t[1] = 0.0, 1.0
    assert torch.equal(flow_map(x, t, t), x)
    later = torch.nextafter(t, torch.full_like(t, 2.0)).clamp(max=1) + 1e-3
    assert not torch.equal(flow_map(x, t, later.clamp(max=1)), x)


@both
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
    with pytest.raises(ValueError, match=r"prediction must be one of u, x1, x0, v, got 'y'"):
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
    with pytest.raises(ValueError, match="data_std must be positive, got 0"):
        Preconditioned(Zero(), VarianceExploding(), data_std=0)
