"""Couplings keep both marginals and the symmetry, and bring noise nearer to data."""

from __future__ import annotations

import itertools

import pytest
import torch
from parts import every_part
from torch import Tensor

from geoflow.condition import Condition
from geoflow.couplings import COUPLINGS, BatchTransport, assign
from geoflow.testing import random_rotations

every = pytest.mark.parametrize("name", COUPLINGS)
# Of two examples each; indices differ by one, real numbers by a thousandth.
PARTS = {
    name: torch.zeros_like(part)
    + torch.tensor([0, 1e-3 if part.is_floating_point() else 1])
    .to(part.dtype)
    .reshape(2, *[1] * (part.ndim - 1))
    for name, part in every_part(2).items()
}
moving = pytest.mark.parametrize("name", [name for name in COUPLINGS if name != "independent"])


def ends(num: int = 12, points: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(num, points, 3, dtype=torch.float64, generator=generator)
    x1 = 0.3 * torch.randn(num, points, 3, dtype=torch.float64, generator=generator)
    return x0, x1 + torch.randn(num, 1, 3, dtype=torch.float64, generator=generator)


def rows(x: Tensor) -> Tensor:
    """All points, sorted: the same for every permutation."""
    flat = x.reshape(-1, 3)
    return flat[flat[:, 0].argsort()]


@every
def test_noise_is_permuted_and_nothing_else(name: str) -> None:
    x0, x1 = ends()
    before = x1.clone()
    matched = COUPLINGS[name]()(x0, x1)
    assert torch.equal(rows(matched), rows(x0))
    assert torch.equal(x1, before)
    assert torch.equal(matched, x0) == (name == "independent")


@moving
def test_pairs_come_closer(name: str) -> None:
    x0, x1 = ends()
    matched = COUPLINGS[name]()(x0, x1)
    assert (matched - x1).square().mean().item() < 0.95 * (x0 - x1).square().mean().item()


@moving
def test_rotated_noise_and_data_are_paired_alike(name: str) -> None:
    x0, x1 = ends()
    rotation = random_rotations(1, generator=torch.Generator().manual_seed(1))[0].double()
    coupling = COUPLINGS[name]()
    turned = coupling(x0 @ rotation.T, x1 @ rotation.T)
    torch.testing.assert_close(turned, coupling(x0, x1) @ rotation.T)
    bent = coupling(x0 * torch.tensor([1.0, 1.0, 3.0]).double(), x1 @ rotation.T)
    assert not torch.allclose(bent[..., :2], turned[..., :2])


def test_the_assignment_is_the_best_of_all() -> None:
    x0, x1 = ends(1, 6)
    found = (x0[0][assign(x0[0], x1[0])] - x1[0]).square().sum().item()
    orders = itertools.permutations(range(6))
    costs = [(x0[0][list(order)] - x1[0]).square().sum().item() for order in orders]
    assert found == pytest.approx(min(costs))


def condition(part: str) -> Condition:
    """Of 12 examples, the even ones alike and the odd ones alike, by one part."""
    return Condition(**{part: PARTS[part][torch.arange(12) % 2]})


def exchanged(cond: Condition | None, name: str = "batch") -> bool:
    """Whether some even example has the noise of an odd one."""
    x0, x1 = ends()
    even = torch.arange(12) % 2 == 0
    # Data of the two groups at opposite ends, and noise the other way round: transport wants all.
    x1 = torch.where(even[:, None, None], x1 + 9, x1 - 9)
    x0 = torch.where(even[:, None, None], x0 - 9, x0 + 9)
    matched = COUPLINGS[name]()(x0, x1, cond)
    assert torch.equal(rows(matched), rows(x0))
    assert not torch.equal(matched, x0)
    return not torch.equal(rows(matched[even]), rows(x0[even]))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "name", [name for name, coupling in COUPLINGS.items() if issubclass(coupling, BatchTransport)]
)
def test_noise_tells_nothing_of_the_condition(part: str, name: str) -> None:
    assert not exchanged(condition(part), name)
    # The twins: one condition for all, and a coupling that does not know it.
    assert exchanged(condition(part)[torch.zeros(12, dtype=torch.long)], name)
    assert exchanged(None, name)


def test_noise_is_kept_where_one_part_of_many_differs() -> None:
    same = condition("frame")[torch.zeros(12, dtype=torch.long)].parts()
    both = Condition(**same, points=condition("points").points)
    assert not exchanged(both)
    # Every example has a condition of its own: nothing moves.
    x0, x1 = ends()
    own = Condition(points=torch.randn(12, 5, 3), category=torch.zeros(12, dtype=torch.long))
    assert torch.equal(COUPLINGS["batch"]()(x0, x1, own), x0)


def test_too_many_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"600 points are too many .* take fewer points"):
        COUPLINGS["points"]()(torch.zeros(1, 600, 3), torch.zeros(1, 600, 3))
