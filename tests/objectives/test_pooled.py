"""Pooled targets: the marginal field where the pool is the data, and nothing else is moved."""

from dataclasses import replace

import pytest
import torch
from cells import every_cell

from geoflow.backbones import MLP, MLPConfig
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives import OBJECTIVES, FlowMatching, Pool, SetPool, pooled
from geoflow.objectives.pooled import posterior_ends


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


DATA = 1.5 * normal(7, 2, seed=1)


def brute_force(x, t, path, data):
    """Mean of each end given x, by the density of every pair, one after the other."""
    means = []
    for state, time in zip(x, t, strict=True):
        alpha, beta = path.alpha(time[None]), path.beta(time[None])
        noise = (state - beta * data) / alpha
        w = (-noise.square().sum(1) / 2).softmax(0)[:, None]
        means.append(((w * noise).sum(0), (w * data).sum(0)))
    return [torch.stack(end) for end in zip(*means, strict=True)]


@every_cell
def test_with_the_data_as_pool_the_target_is_the_marginal_field(path_key, key):
    path, index = INTERPOLANTS[path_key](), torch.arange(20) % 7
    flow_map = FlowMap(MLP(MLPConfig(2, width=8, blocks=1)).double(), path, key)
    objective = FlowMatching(pool=Pool(DATA))
    x0, x1 = normal(20, 2), DATA[index]
    sample = objective.draw(flow_map, x0, x1, None, seeded(2))
    plain = FlowMatching().draw(flow_map, x0, x1, None, seeded(2))
    assert torch.equal(sample.x, plain.x)
    ends = brute_force(sample.x, sample.t, path, DATA)
    expected = flow_map.prediction.conditional(*ends, sample.t)
    scale = expected.abs().amax(1, keepdim=True).clamp(min=1.0)
    assert ((sample.conditional(flow_map) - expected) / scale).abs().max() < 1e-8
    # Twin: the pair's own field is another.
    assert ((plain.conditional(flow_map) - expected) / scale).abs().max() > 0.1
    # The same state is made of both.
    again = path.interpolate(sample.x0, sample.x1, sample.t)
    torch.testing.assert_close(again, sample.x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path_key", INTERPOLANTS)
def test_both_ends_of_time_are_safe(path_key):
    """At t = 1 a pair is its own posterior; before it comes the mean of all; nothing overflows."""
    path = INTERPOLANTS[path_key]()
    t = torch.tensor([1.0, 1 - 1e-7, 1 - 1e-3, 1e-3, 0.0])
    x0, x1 = normal(5, 2).float(), DATA[:5].float()
    mean0, mean1 = Pool(DATA.float()).ends(x0, x1, t, path)
    assert mean0.isfinite().all()
    assert mean1.isfinite().all()
    torch.testing.assert_close(mean1[:2], x1[:2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mean0[0], x0[0])
    if path.beta(torch.zeros(1)) == 0:
        torch.testing.assert_close(mean1[4], DATA.mean(0).float())


def test_a_pool_has_less_noise_and_a_bias_that_falls_with_its_size():
    """Distance of the mean target to the marginal field over pools of p, which hold the example."""
    path, data = INTERPOLANTS["linear"](), normal(64, 2, seed=3)
    x0, x1, t = normal(200, 2, seed=4), data[torch.arange(200) % 64], torch.full((200,), 0.4)
    x = path.interpolate(x0, x1, t)
    _, exact = brute_force(x, t, path, data)
    bias, noise = {}, {"pair": (x1 - exact).square().mean()}
    for size in (4, 16, 48):
        found = []
        for seed in range(60):
            order = torch.stack([torch.randperm(64, generator=seeded(seed * 200 + i))
                                 for i in range(200)])  # fmt: skip
            others = data[order[:, :size]].clone()
            others[:, 0] = x1
            _, mean1 = posterior_ends(x0[:, None], x1[:, None], t[:, None], path, others)
            found.append(mean1[:, 0])
        means = torch.stack(found)
        bias[size] = (means.mean(0) - exact).square().mean().sqrt().item()
        noise[size] = (means - exact).square().mean()
    assert bias[4] > 1.5 * bias[16] > 2 * bias[48]
    assert noise["pair"] > noise[4] > noise[16] > noise[48]


def test_memory_is_that_of_a_block(monkeypatch):
    """Weights are made block by block: as many products, never more weights at once, same means."""
    path, sets = INTERPOLANTS["linear"](), normal(2, 11, 3, seed=5)
    x0, t = normal(2, 7, 3), torch.tensor([0.3, 0.6]).double()
    whole = SetPool(sets).ends(x0, sets[:, :7], t, path)
    sizes = []
    softmax = torch.Tensor.softmax
    monkeypatch.setattr(
        torch.Tensor, "softmax", lambda w, dim: sizes.append(w.numel()) or softmax(w, dim)
    )
    monkeypatch.setattr(pooled, "_CACHED", 66)
    again = SetPool(sets).ends(x0, sets[:, :7], t, path)
    assert sizes == [66, 66, 22]
    torch.testing.assert_close(again, whole)


def test_an_example_is_averaged_over_its_category_alone():
    category = torch.arange(7) % 2
    pool, cond = Pool(DATA, category), Condition(category=torch.tensor([0, 1, 1]))
    x0, x1, t = normal(3, 2), DATA[[0, 1, 3]], torch.full((3,), 0.3).double()
    path = INTERPOLANTS["linear"]()
    ends = pool.ends(x0, x1, t, path, cond)
    for i, kind in enumerate((0, 1, 1)):
        own = Pool(DATA[category == kind]).ends(x0[i : i + 1], x1[i : i + 1], t[:1], path)
        torch.testing.assert_close(ends[1][i : i + 1], own[1])
    assert (Pool(DATA).ends(x0, x1, t, path)[1] - ends[1]).abs().max() > 0.01


@every_cell
def test_guidance_is_exact_on_the_empirical_distribution(path_key, key):
    """The target is g times the field of the category and 1 - g times that of all."""
    category, path = torch.arange(7) % 2, INTERPOLANTS[path_key]()
    flow_map = FlowMap(MLP(MLPConfig(2, width=8, blocks=1)).double(), path, key)
    index = torch.arange(14) % 7
    x0, x1, cond = normal(14, 2), DATA[index], Condition(category=category[index])
    objective = FlowMatching(pool=Pool(DATA, category, guidance=2.5))
    sample = objective.draw(flow_map, x0, x1, cond, seeded(2))
    x, t = sample.x, sample.t
    field = flow_map.prediction.conditional
    free = field(*brute_force(x, t, path, DATA), t)
    own = torch.stack(
        [
            field(*brute_force(x[i : i + 1], t[i : i + 1], path, DATA[category == kind]),
                  t[i : i + 1])[0]
            for i, kind in enumerate(category[index])
        ]
    )  # fmt: skip
    expected = 2.5 * own - 1.5 * free
    scale = expected.abs().amax(1, keepdim=True).clamp(min=1.0)
    assert ((sample.conditional(flow_map) - expected) / scale).abs().max() < 1e-8
    assert ((own - expected) / scale).abs().max() > 1e-3
    again = path.interpolate(sample.x0, sample.x1, t)
    torch.testing.assert_close(again, x, rtol=1e-9, atol=1e-9)


def test_points_of_a_set_are_averaged_one_by_one():
    path, sets = INTERPOLANTS["ve"](), normal(2, 9, 3, seed=5)
    x0, t = normal(2, 4, 3), torch.tensor([0.5, 0.8]).double()
    mean0, mean1 = SetPool(sets).ends(x0, sets[:, :4], t, path)
    for b in range(2):
        own = Pool(sets[b]).ends(x0[b], sets[b, :4], t[b].expand(4), path)
        torch.testing.assert_close(mean1[b], own[1])
        torch.testing.assert_close(mean0[b], own[0])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_takes_a_pool_and_its_losses_are_per_example(name):
    flow_map = FlowMap(MLP(MLPConfig(2, width=8, blocks=1)).double(), "linear", "u")
    objective = replace(OBJECTIVES[name](), pool=Pool(DATA))
    x0, x1 = normal(12, 2), DATA[torch.arange(12) % 7]
    with_pool, paired = (
        o(flow_map, x0, x1, generator=seeded(6)) for o in (objective, replace(objective, pool=None))
    )
    assert with_pool.total.shape == (12,)
    assert with_pool.total.isfinite().all()
    assert not torch.equal(with_pool.total, paired.total)
    # An example's loss is its own: another noise of the last changes no other.
    moved = x0.clone()
    moved[-1] += 1
    again = objective(flow_map, moved, x1, generator=seeded(6)).total
    torch.testing.assert_close(again[:-1], with_pool.total[:-1])


def test_what_has_another_posterior_is_refused():
    path, t = INTERPOLANTS["linear"](), torch.full((3,), 0.5).double()
    x0, x1 = normal(3, 2), DATA[:3]
    with pytest.raises(ValueError, match="must hold examples of shape"):
        Pool(normal(4, 3)).ends(x0, x1, t, path)
    with pytest.raises(ValueError, match="give the pool those of its data"):
        Pool(DATA).ends(x0, x1, t, path, Condition(category=torch.zeros(3, dtype=torch.long)))
    with pytest.raises(ValueError, match="examples of every category"):
        Pool(DATA, torch.zeros(7, dtype=torch.long)).ends(
            x0, x1, t, path, Condition(category=torch.tensor([0, 0, 1]))
        )
    with pytest.raises(ValueError, match="use SetPool"):
        Pool(DATA).ends(x0, x1, t, path, Condition(tokens=normal(3, 2, 2)))
    with pytest.raises(ValueError, match="cannot average"):
        SetPool(normal(2, 5, 2)).ends(x0[:, None], x1[:, None], t, path)
