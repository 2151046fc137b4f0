"""Gaussian data, times and networks that the tests of objectives share."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.oracles.gaussian import GaussianField
from geoflow.times import TimePairs
from geoflow.typing import Times

NUM = 40_000
MEAN = torch.tensor([0.7, -0.4], dtype=torch.float64)
STD = torch.tensor([0.3, 1.5], dtype=torch.float64)


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


@functools.cache
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
