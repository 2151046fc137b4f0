"""Guidance built into a map: with exact fields its targets are those of exact guidance."""

from dataclasses import replace

import pytest
import torch
from cells import every_cell
from torch import nn

from geoflow.backbones import MLP, MLPConfig
from geoflow.condition import ANY, Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives import OBJECTIVES, FlowMatching, Guide, Pool


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


DATA = 1.5 * normal(9, 2, seed=1)
CATEGORY = torch.arange(9) % 3
INDEX = torch.arange(24) % 9
WEIGHT = torch.tensor([1.0, 2.0, 3.5]).double().repeat(8)


class Exact(nn.Module):
    """The marginal field of the data, of a category or, where it is told none, of all."""

    def __init__(self, path, prediction):
        super().__init__()
        self.path, self.prediction = path, prediction

    def forward(self, x, t, r, cond):
        assert bool((cond.guidance == 1).all()), "fields are compared without guidance"
        # Any pair through the state has the same posterior.
        x1 = DATA[:1].expand_as(x)
        alpha, beta = (c(t)[:, None] for c in (self.path.alpha, self.path.beta))
        x0 = (x - beta * x1) / alpha
        named = cond.category != ANY
        ends = Pool(DATA).ends(x0, x1, t, self.path)
        if named.all():
            given = Condition(category=cond.category)
            ends = Pool(DATA, CATEGORY).ends(x0, x1, t, self.path, given)
        return self.prediction.conditional(*ends, t)


def given(weight=WEIGHT):
    return Condition(category=CATEGORY[INDEX], guidance=weight)


@every_cell
def test_of_exact_fields_it_makes_the_exact_guided_field(path_key, key):
    path = INTERPOLANTS[path_key]()
    flow_map = FlowMap(nn.Identity(), path, key)
    flow_map.backbone = Exact(path, flow_map.prediction)
    x0, x1 = normal(24, 2), DATA[INDEX]
    t = 0.1 + 0.8 * torch.rand(24, generator=seeded(2), dtype=torch.float64)
    category = Condition(category=CATEGORY[INDEX])
    mean = Pool(DATA, CATEGORY).ends(x0, x1, t, path, category)
    made = Guide(flow_map).ends(*mean, t, path, given())
    for i, weight in enumerate(WEIGHT.tolist()):
        one = slice(i, i + 1)
        pool = Pool(DATA, CATEGORY, guidance=weight)
        exact = pool.ends(x0[one], x1[one], t[one], path, category[one])
        for end, expected in zip(made, exact, strict=True):
            torch.testing.assert_close(end[one], expected, rtol=1e-6, atol=1e-6)


@every_cell
def test_the_state_stays_and_unguided_pairs_too(path_key, key):
    path = INTERPOLANTS[path_key]()
    network = MLP(MLPConfig(2, width=8, blocks=1, num_categories=3, guided=True)).double()
    flow_map = FlowMap(network, path, key)
    plain = FlowMatching()
    sample = replace(plain, pool=Guide(flow_map)).draw(
        flow_map, normal(24, 2), DATA[INDEX], given(), seeded(3)
    )
    pairs = plain.draw(flow_map, normal(24, 2), DATA[INDEX], given(), seeded(3))
    assert torch.equal(sample.x, pairs.x)
    again = path.interpolate(sample.x0, sample.x1, sample.t)
    torch.testing.assert_close(again, sample.x, rtol=1e-9, atol=1e-9)
    moved = (sample.x1 != pairs.x1).any(1)
    assert moved.tolist() == (WEIGHT > 1).tolist()


@pytest.mark.parametrize("name", ["cumulative", "lagrangian", "consistency"])
def test_objectives_learn_from_a_guide(name):
    network = MLP(MLPConfig(2, width=8, blocks=1, num_categories=3, guided=True)).double()
    flow_map = FlowMap(network, "linear", "u")
    objective = OBJECTIVES[name]()
    x0, x1 = normal(24, 2), DATA[INDEX]
    losses = [
        replace(objective, pool=pool)(flow_map, x0, x1, given(), generator=seeded(4)).total
        for pool in (None, Guide(flow_map))
    ]
    assert all(loss.isfinite().all() for loss in losses)
    assert not torch.allclose(losses[0], losses[1])
    # Twin: nobody is guided.
    alone = [
        replace(objective, pool=pool)(
            flow_map, x0, x1, given(torch.ones_like(WEIGHT)), generator=seeded(4)
        ).total
        for pool in (None, Guide(flow_map))
    ]
    assert torch.equal(*alone)


def test_at_the_data_nothing_is_moved():
    """An x1 map has no velocity there."""
    network = MLP(MLPConfig(2, width=8, blocks=1, num_categories=3, guided=True)).double()
    flow_map = FlowMap(network, "linear", "x1")
    x0, x1, t = normal(24, 2), DATA[INDEX], torch.ones(24, dtype=torch.float64)
    made = Guide(flow_map).ends(x0, x1, t, flow_map.interpolant, given())
    assert torch.equal(made[0], x0)
    assert torch.equal(made[1], x1)


def test_examples_must_say_what_they_are_guided_to():
    flow_map = FlowMap(nn.Identity(), "linear", "u")
    x = normal(24, 2)
    with pytest.raises(ValueError, match=r"a guide needs cond.guidance and cond.category"):
        Guide(flow_map).ends(
            x, x, torch.zeros(24, dtype=torch.float64), flow_map.interpolant,
            Condition(category=CATEGORY[INDEX]),
        )  # fmt: skip
