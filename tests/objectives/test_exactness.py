"""Every objective of the table is at rest on exact flow maps, and on nothing near them.

A new objective is tested by being listed in OBJECTIVES or SPECIAL_CASES.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch
from cells import every_cell
from gaussian_cases import MEAN, STD, FixedPairs
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS, VarianceExploding
from geoflow.objectives import (
    OBJECTIVES,
    SPECIAL_CASES,
    Distillation,
    FlowMatching,
    Objective,
    Weight,
    build_objective,
)
from geoflow.oracles.exact import ExactField
from geoflow.oracles.gaussian import GaussianField
from geoflow.oracles.mixture import MixtureField
from geoflow.prediction import PREDICTIONS
from geoflow.typing import Times

NAMES = [*OBJECTIVES, *SPECIAL_CASES]
FROM_NOISE = ("neural-operator", "mid-training", "data-free")
NUM = 2_000
TIMES = FixedPairs([0.2, 0.35, 0.5, 0.65], 0.8)
EARLY = FixedPairs([0.1, 0.2, 0.3, 0.4], 0.6)
# The bias of steps of finite length falls with them; falling noise levels need the most.
FINE = {"step": 0.002, "solver_steps": 24}
FINER = {"step": 0.002, "solver_steps": 128}


class Perturbed(nn.Module):
    """An exact field, plus size times a smooth function that vanishes on the diagonal."""

    def __init__(self, field: nn.Module, size: Tensor) -> None:
        super().__init__()
        self.field, self.size = field, size

    def forward(self, x: Tensor, t: Times, r: Times, cond: Condition | None = None) -> Tensor:
        """The perturbed field."""
        out: Tensor = self.field(x, t, r, cond)
        size = self.size if self.size.ndim == 0 else self.size[: len(x)]
        return out + size * (r - t)[:, None] * (1 + torch.tanh(x))


def settings(name: str) -> set[str]:
    return {f.name for f in fields(build_objective(name))}


def fine(name: str, steps: dict[str, float] = FINE, **changes: Any) -> Objective:
    """The objective of a name with short steps and other changes of its settings."""
    short = {key: value for key, value in steps.items() if key in settings(name)}
    return replace(build_objective(name), **short, **changes)


def is_admissible(name: str, path_key: str, key: str) -> bool:
    """Some start at t = 0, where the noise field may be divided by no data."""
    zero = torch.zeros(1, dtype=torch.float64)
    ends = PREDICTIONS[key](INTERPOLANTS[path_key]()).coefficients(zero, zero + 0.5)
    return name not in FROM_NOISE or bool(torch.cat(ends).isfinite().all())


def oracle(kind: str, path_key: str, key: str) -> ExactField:
    path = INTERPOLANTS[path_key]()
    if kind == "gaussian":
        return GaussianField(MEAN, STD, path, key)
    if path_key == "ve":
        # Where noise is 80 times as wide as the data, or a thousandth, inverses lack digits.
        path = VarianceExploding(sigma_min=0.2, sigma_max=3.0, rho=2.0)
    parts = torch.tensor([[0.35, 0.65], [-1.2, 0.9], [0.25, 0.45]], dtype=torch.float64)
    return MixtureField(*parts, path, key)


def data(field: ExactField, num: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, num, 2, dtype=torch.float64, generator=generator)
    if isinstance(field, MixtureField):
        return x0, field.sample(num, 2, generator=generator)
    return x0, MEAN + STD * noise


@dataclass(frozen=True)
class Pulls:
    """Mean gradients in the size of a perturbation, and their standard errors."""

    still: float
    """On the exact map."""
    still_error: float
    moved: float
    """On the map perturbed by half."""
    moved_error: float

    def is_at_rest(self, share: float = 0.08) -> bool:
        """No pull on the exact map, but for noise and the bias of finite steps."""
        return abs(self.still) < max(5 * self.still_error, share * abs(self.moved))

    def is_back(self) -> bool:
        """A pull on the perturbed map, towards the exact one."""
        return self.moved > 5 * self.moved_error


def pull(objective: Objective, field: ExactField, num: int = NUM) -> Pulls:
    """Both maps in one batch: an example's gradient in its own size is its own."""
    sizes = torch.tensor([0.0, 0.5], dtype=torch.float64).repeat_interleave(num)[:, None]
    sizes.requires_grad_()
    flow_map = FlowMap(Perturbed(field, sizes), field.interpolant, field.prediction_key)
    x0, x1 = (end.repeat(2, 1) for end in data(field, num))
    losses = objective(flow_map, x0, x1, generator=torch.Generator().manual_seed(5))
    (gradient,) = torch.autograd.grad(losses.total.sum(), sizes)
    halves = gradient.reshape(2, num)
    means, errors = halves.mean(1).tolist(), (halves.std(1) / num**0.5).tolist()
    return Pulls(means[0], errors[0], means[1], errors[1])


def distinct() -> list[str]:
    """Names whose objectives differ in more than times, weights and cell, set alike below."""
    seen: list[Objective] = []
    names = []
    for name in NAMES:
        plain = replace(build_objective(name), times=TIMES, weight=Weight(), cell=None)
        if plain not in seen and name != "flow-matching":
            seen.append(plain)
            names.append(name)
    return names


def is_dear(kind: str, name: str) -> bool:
    """Whether inverses of a distribution are asked for often: of the mixture's, or by a solver."""
    solves = name in ("neural-operator", "mid-training")
    return solves or (kind == "mixture" and name not in ("cumulative", "consistency"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] if is_dear(*case) else [])
        for case in itertools.product(("gaussian", "mixture"), distinct())
    ],
)
@every_cell
def test_exact_maps_are_at_rest(path_key: str, key: str, kind: str, name: str) -> None:
    field = oracle(kind, path_key, key)
    # Off the diagonal alone: regression there is one law for all objectives, below.
    steps = FINER if path_key == "ve" and kind == "gaussian" else FINE
    times = EARLY if path_key == "ve" and kind == "mixture" else TIMES
    if kind == "mixture":
        # Jumps from late states feel the solver's error most.
        steps = steps | {"solver_steps": 24 if name == "mid-training" else 12}
    objective = fine(name, steps, times=times, weight=Weight(), cell=None)
    # Inverses of the mixture's distribution are dear; derivatives along data pairs are noisy.
    few = {"mean-flow": 700, "soflow": 1_500, "alpha-flow": 1_500}.get(name, 400)
    num = few if kind == "mixture" else NUM
    if not is_admissible(name, path_key, key):
        with pytest.raises(ValueError, match="cannot start at time 0"):
            pull(objective, field, num)
        return
    pulls = pull(objective, field, num)
    assert pulls.is_at_rest(), pulls
    assert pulls.is_back(), pulls


def test_a_special_case_that_is_left_out_is_one_that_is_tested() -> None:
    settings_alone = {"trigflow", "progressive-distillation", "split-mean-flow"}
    settings_alone |= {"terminal-velocity-matching", "align-your-flow"}
    assert {*NAMES} - {*distinct()} == {"flow-matching", *settings_alone}


# Steps of the pair that are short shares of the way, and a velocity of the map, have little noise.
@pytest.mark.parametrize("name", ["mean-flow", "euler-mean-flow", "trigflow"])
def test_weights_by_size_move_the_rest_where_noise_is_skewed(name: str) -> None:
    """What Weight.power says of itself: Gaussian noise is even, that of a mixture is not."""
    for kind, is_at_rest in (("gaussian", True), ("mixture", False)):
        field = oracle(kind, "linear", "u")
        assert pull(fine(name, times=TIMES, cell=None), field).is_at_rest() == is_at_rest


@pytest.mark.parametrize("name", NAMES)
def test_the_diagonal_of_every_objective_is_flow_matching(name: str) -> None:
    field = oracle("gaussian", "linear", "x1")
    flow_map = FlowMap(Perturbed(field, torch.tensor(0.3).double()), field.interpolant, "x1")
    x0, x1 = data(field, 40)
    times = FixedPairs(0.4, 0.4)
    expected = FlowMatching(times=times)(flow_map, x0, x1).total
    found = fine(name, times=times, weight=Weight(), cell=None)(flow_map, x0, x1).total
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    apart = fine(name, times=FixedPairs(0.4, 0.7), weight=Weight(), cell=None)(
        flow_map, x0, x1
    ).total
    assert name == "flow-matching" or not torch.allclose(apart, expected, rtol=1e-3)


DISTILLED = [name for name in NAMES if isinstance(build_objective(name), Distillation)]


@pytest.mark.parametrize("name", [name for name in distinct() if name in DISTILLED])
@pytest.mark.parametrize(("path_key", "key"), [("linear", "x1"), ("ve", "x1"), ("linear", "u")])
def test_an_exact_teacher_is_distilled(path_key: str, key: str, name: str) -> None:
    """The pull on a perturbed map towards the teacher's; none on the teacher's own."""
    field = oracle("gaussian", path_key, key)
    steps = FINER if path_key == "ve" else FINE
    objective = fine(name, steps, times=TIMES, cell=None)
    objective.check_distils()
    pulls = pull(objective.distilling(field.as_flow_map()), field)
    assert pulls.is_at_rest(0.05), pulls
    assert pulls.moved > 0


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DISTILLED])
def test_objectives_of_data_alone_refuse_a_teacher(name: str) -> None:
    teacher = oracle("gaussian", "linear", "u").as_flow_map()
    with pytest.raises(ValueError, match="learns from data alone"):
        build_objective(name).distilling(teacher)
    with pytest.raises(ValueError, match="learns from data alone"):
        build_objective(name).check_distils()


def test_the_names_are_of_one_kind() -> None:
    assert not set(OBJECTIVES) & set(SPECIAL_CASES)
    for case in SPECIAL_CASES.values():
        assert case.interpolant is None or case.interpolant in INTERPOLANTS
        assert case.prediction is None or case.prediction in PREDICTIONS
    with pytest.raises(ValueError, match=r"objective must be one of flow-matching, .*, got 'gan'"):
        build_objective("gan")
