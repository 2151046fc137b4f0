"""Every objective of the table is at rest on exact flow maps, and on nothing near them.

A new objective is tested by being listed in OBJECTIVES or SPECIAL_CASES.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from gaussian_cases import MEAN, STD, FixedPairs
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS, VarianceExploding
from geoflow.objectives import (
    OBJECTIVES,
    SPECIAL_CASES,
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
    """An operator starts at t = 0, where the noise field may be divided by no data."""
    zero = torch.zeros(1, dtype=torch.float64)
    ends = PREDICTIONS[key](INTERPOLANTS[path_key]()).coefficients(zero, zero + 0.5)
    return name != "neural-operator" or bool(torch.cat(ends).isfinite().all())


def oracle(law: str, path_key: str, key: str) -> ExactField:
    path = INTERPOLANTS[path_key]()
    if law == "gaussian":
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


def pull(
    objective: Objective, field: ExactField, size: float, num: int = NUM
) -> tuple[float, float]:
    """Mean gradient in the size of the perturbation, and its standard error."""
    sizes = torch.full((), size, dtype=torch.float64, requires_grad=True)
    flow_map = FlowMap(Perturbed(field, sizes), field.interpolant, field.prediction_key)
    x0, x1 = data(field, num)
    gradients = []
    for chunk0, chunk1 in zip(x0.chunk(10), x1.chunk(10), strict=True):
        generator = torch.Generator().manual_seed(5)
        losses = objective(flow_map, chunk0, chunk1, generator=generator)
        gradients.append(torch.autograd.grad(losses.total.mean(), sizes)[0])
    values = torch.stack(gradients)
    return values.mean().item(), values.std().item() / len(values) ** 0.5


@pytest.mark.parametrize("name", [name for name in NAMES if name != "flow-matching"])
@pytest.mark.parametrize(
    ("law", "path_key", "key"),
    [("gaussian", i, p) for i in INTERPOLANTS for p in PREDICTIONS]
    + [("mixture", i, p) for i in INTERPOLANTS for p in PREDICTIONS],
)
def test_exact_maps_are_at_rest(law: str, path_key: str, key: str, name: str) -> None:
    field = oracle(law, path_key, key)
    # Off the diagonal alone: regression there is one law for all objectives, below.
    steps = FINER if path_key == "ve" and law == "gaussian" else FINE
    times = EARLY if path_key == "ve" and law == "mixture" else TIMES
    objective = fine(name, steps, times=times, weight=Weight())
    if not is_admissible(name, path_key, key):
        with pytest.raises(ValueError, match="cannot start at time 0"):
            pull(objective, field, 0.0)
        return
    # Inverses of the mixture's law are dear.
    num = 400 if law == "mixture" else NUM
    still, noise = pull(objective, field, 0.0, num)
    moved, noise_there = pull(objective, field, 0.5, num)
    assert abs(still) < max(5 * noise, 0.08 * abs(moved))
    assert abs(moved) > 5 * noise_there
    assert moved > 0


@pytest.mark.parametrize("name", [n for n in SPECIAL_CASES if build_objective(n).weight.power])
def test_weights_by_size_move_the_rest_where_noise_is_skewed(name: str) -> None:
    """What Weight.power says of itself: Gaussian noise is even, that of a mixture is not."""
    for law, is_at_rest in (("gaussian", True), ("mixture", False)):
        field = oracle(law, "linear", "u")
        still, noise = pull(fine(name, times=TIMES), field, 0.0)
        moved, _ = pull(fine(name, times=TIMES), field, 0.5)
        assert (abs(still) < max(5 * noise, 0.08 * abs(moved))) == is_at_rest


@pytest.mark.parametrize("name", NAMES)
def test_the_diagonal_of_every_objective_is_flow_matching(name: str) -> None:
    field = oracle("gaussian", "linear", "x1")
    flow_map = FlowMap(Perturbed(field, torch.tensor(0.3).double()), field.interpolant, "x1")
    x0, x1 = data(field, 40)
    times = FixedPairs(0.4, 0.4)
    expected = FlowMatching(times=times)(flow_map, x0, x1).total
    found = fine(name, times=times, weight=Weight())(flow_map, x0, x1).total
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    apart = fine(name, times=FixedPairs(0.4, 0.7), weight=Weight())(flow_map, x0, x1).total
    assert name == "flow-matching" or not torch.allclose(apart, expected, rtol=1e-3)


DISTILLED = [name for name in NAMES if "frozen" in settings(name)]


@pytest.mark.parametrize("name", DISTILLED)
@pytest.mark.parametrize(("path_key", "key"), [("linear", "x1"), ("ve", "x1"), ("linear", "u")])
def test_an_exact_teacher_is_distilled(path_key: str, key: str, name: str) -> None:
    """The pull on a perturbed map towards the teacher's; none on the teacher's own."""
    field = oracle("gaussian", path_key, key)
    steps = FINER if path_key == "ve" else FINE
    objective = fine(name, steps, times=TIMES).distilling(field.as_flow_map())
    still, noise = pull(objective, field, 0.0)
    moved, _ = pull(objective, field, 0.5)
    assert abs(still) < max(5 * noise, 0.05 * abs(moved))
    assert moved > 0


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DISTILLED])
def test_objectives_of_data_alone_refuse_a_teacher(name: str) -> None:
    teacher = oracle("gaussian", "linear", "u").as_flow_map()
    with pytest.raises(ValueError, match="learns from data alone"):
        build_objective(name).distilling(teacher)


def test_the_names_are_of_one_kind() -> None:
    assert not set(OBJECTIVES) & set(SPECIAL_CASES)
    for case in SPECIAL_CASES.values():
        assert case.interpolant is None or case.interpolant in INTERPOLANTS
        assert case.prediction is None or case.prediction in PREDICTIONS
    with pytest.raises(ValueError, match=r"objective must be one of flow-matching, .*, got 'gan'"):
        build_objective("gan")
