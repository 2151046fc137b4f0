"""Laws of the exact flow of a mixture of Gaussians, in float64."""

from __future__ import annotations

import torch
from cells import every_cell
from torch import Tensor

from geoflow.interpolant import INTERPOLANTS
from geoflow.oracles.mixture import MixtureField
from geoflow.samplers import sample_ode

WEIGHTS = torch.tensor([0.35, 0.65], dtype=torch.float64)
MEANS = torch.tensor([-1.2, 0.9], dtype=torch.float64)
STDS = torch.tensor([0.25, 0.45], dtype=torch.float64)


def mixture(path_key: str = "linear", key: str = "u") -> MixtureField:
    return MixtureField(WEIGHTS, MEANS, STDS, INTERPOLANTS[path_key](), key)


def states(field: MixtureField) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Typical states, and three rising times."""
    generator = torch.Generator().manual_seed(0)
    t, s, r = 0.05 + 0.93 * torch.rand(3, 60, dtype=torch.float64, generator=generator).sort(0)[0]
    x0 = torch.randn(60, 2, dtype=torch.float64, generator=generator)
    x1 = field.sample(60, 2, generator=generator)
    return field.interpolant.interpolate(x0, x1, t), t, s, r


@every_cell
def test_semigroup(path_key: str, key: str) -> None:
    field = mixture(path_key, key)
    flow_map = field.as_flow_map()
    x, t, s, r = states(field)
    whole = flow_map(x, t, r)
    torch.testing.assert_close(flow_map(flow_map(x, t, s), s, r), whole, rtol=1e-8, atol=1e-8)
    assert not torch.allclose(flow_map(flow_map(x, t, s), s, r - 1e-3), whole, rtol=1e-8)


@every_cell
def test_the_flow_moves_by_its_velocity(path_key: str, key: str) -> None:
    field = mixture(path_key, key)
    x, t, _, r = states(field)
    y, speed = torch.func.jvp(lambda r: field.flow(x, t, r), (r,), (torch.ones_like(r),))
    torch.testing.assert_close(speed, field.velocity(y, r), rtol=1e-7, atol=1e-7)


@every_cell
def test_the_flow_does_not_change_along_its_trajectory(path_key: str, key: str) -> None:
    field = mixture(path_key, key)
    x, t, _, r = states(field)
    tangent = (field.velocity(x, t), torch.ones_like(t))
    _, change = torch.func.jvp(lambda x, t: field.flow(x, t, r), (x, t), tangent)
    scale = 1 + tangent[0].abs().max()
    assert (change / scale).abs().max().item() < 1e-8
    _, other = torch.func.jvp(
        lambda x, t: field.flow(x, t, r), (x, t), (2 * tangent[0], tangent[1])
    )
    assert (other / scale).abs().max().item() > 1e-3


def test_a_fine_solver_of_the_velocity_ends_where_the_map_does() -> None:
    field = mixture()
    flow_map = field.as_flow_map()
    x0 = torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    *_, end = sample_ode(flow_map, x0, steps=400, method="heun")
    zero, one = torch.zeros(64).double(), torch.ones(64).double()
    assert (end - flow_map(x0, zero, one)).abs().max().item() < 1e-3


def test_the_map_carries_noise_to_the_mixture() -> None:
    field = mixture()
    x0 = torch.randn(40_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    zero, one = torch.zeros(len(x0)).double(), torch.ones(len(x0)).double()
    moved = field.flow(x0, zero, one).sort(0)[0]
    data = field.sample(40_000, 1, generator=torch.Generator().manual_seed(3)).sort(0)[0]
    assert (moved - data).abs().mean().item() < 0.02
    assert (x0.sort(0)[0] - data).abs().mean().item() > 0.1
