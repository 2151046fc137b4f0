"""Couplings keep both marginals and the symmetry, and bring noise nearer to data."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from geoflow.condition import Condition
from geoflow.couplings import COUPLINGS, assign, match_superset, take_pairs
from geoflow.testing import random_rotations

every = pytest.mark.parametrize("name", COUPLINGS)
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


def test_noise_stays_in_its_category() -> None:
    x0, x1 = ends()
    category = torch.arange(12) % 2
    matched = COUPLINGS["batch"]()(x0, x1, Condition(category=category))
    for group in (0, 1):
        assert torch.equal(rows(matched[category == group]), rows(x0[category == group]))
    assert not torch.equal(matched, COUPLINGS["batch"]()(x0, x1))


def test_too_many_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"600 points are too many .* match_superset"):
        COUPLINGS["points"]()(torch.zeros(1, 600, 3), torch.zeros(1, 600, 3))


def test_parts_of_a_superset_are_close_pairs_of_normal_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(1500, 3, generator=generator) - 0.5
    noise = match_superset(points, generator=generator)
    part, there = take_pairs(noise, points, 1000, generator=generator)
    assert part.shape == there.shape == (1000, 3)
    assert part.mean().abs().item() < 0.1
    assert part.std().item() == pytest.approx(1, abs=0.06)
    apart = (part[torch.randperm(1000, generator=generator)] - there).square().mean().item()
    assert (part - there).square().mean().item() < 0.8 * apart
    old, _ = take_pairs(noise, points, 1000, blend=0.0, generator=torch.Generator().manual_seed(3))
    assert torch.isin(old, noise).all()
    with pytest.raises(ValueError, match="num must be at most the 1500 points"):
        take_pairs(noise, points, 1501)
    with pytest.raises(ValueError, match=r"blend must be in \[0, 1\], got 2"):
        take_pairs(noise, points, 3, blend=2.0)
