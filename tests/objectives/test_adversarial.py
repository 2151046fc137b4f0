"""Samples against data: what a critic pays for, what moves the map, and where it ends."""

import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geoflow.condition import Condition
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives.adversarial import Adversarial
from geoflow_tools.bench.energy import energy_distance

LINEAR = INTERPOLANTS["linear"]()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


class Line(nn.Module):
    """D(x, t) = <a, x>, whose slope is |a| everywhere."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))

    def forward(self, x, t, cond):
        return (x @ self.slope)[:, None]


def test_pairs_that_are_alike_cost_what_a_coin_does():
    x = normal(50, 3)
    objective = Adversarial(LINEAR, noise=0.0, penalty=0.0)
    for loss in (objective.critic_loss, objective.map_loss):
        assert loss(Line(), x, x.clone(), None, seeded()).item() == pytest.approx(math.log(2))


def test_the_penalty_is_the_square_of_the_slope():
    critic, x = Line(), normal(20_000, 3)
    without, with_it = (
        Adversarial(LINEAR, penalty=penalty).critic_loss(critic, x, x, None, seeded(1)).item()
        for penalty in (0.0, 1.0)
    )
    # Of data and of samples.
    slope = critic.slope.square().sum().item()
    assert with_it - without == pytest.approx(2 * slope, rel=0.03)


def test_gradients_go_where_they_belong():
    critic, data = Line(), normal(30, 3)
    samples = normal(30, 3, seed=1).requires_grad_()
    objective = Adversarial(LINEAR)
    objective.critic_loss(critic, data, samples, None, seeded()).backward()
    assert samples.grad is None
    of_critic = critic.slope.grad.clone()
    assert of_critic.norm() > 0.1
    critic.requires_grad_(False)
    objective.map_loss(critic, data, samples, None, seeded()).backward()
    torch.testing.assert_close(critic.slope.grad, of_critic)
    # To where the critic takes them for data.
    assert (samples.grad @ critic.slope).max() < 0


def test_states_are_carried_back_by_no_more_than_the_noise():
    seen = []

    def critic(x, t, cond):
        seen.append((x, t, cond))
        return x[:, :1]

    data, samples = torch.full((4_000, 2), 3.0), torch.full((4_000, 2), 5.0)
    cond = Condition(category=torch.arange(4_000))
    Adversarial(LINEAR, noise=0.4, clean=0.3).critic_loss(critic, data, samples, cond, seeded())
    ((x, t, given),) = seen
    assert (t.min() >= 0.6, t.max()) == (True, 1.0)
    assert (t == 1).float().mean().item() == pytest.approx(0.3, abs=0.03)
    # The same times, and conditions, for data, samples and their neighbours.
    times, parts = t.reshape(4, -1), x.reshape(4, -1, 2)
    assert (times == times[0]).all()
    assert (given.category.reshape(4, -1) == cond.category).all()
    clean = times[0] == 1
    torch.testing.assert_close(parts[:2, clean], torch.stack([data, samples])[:, clean])
    moved = parts[0, ~clean] - 3 * times[0, ~clean, None]
    way = (1 - times[0, ~clean]).square().mean().sqrt().item()
    assert moved.std().item() == pytest.approx(way, rel=0.05)
    assert (parts[2:] - parts[:2]).std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.slow
def test_a_map_ends_in_the_data_of_each_condition():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(),
                            nn.Linear(64, 2))  # fmt: skip
    judge = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(),
                          nn.Linear(64, 1))  # fmt: skip

    def one_hot(cond):
        return nn.functional.one_hot(cond.category, 2).float()

    def critic(x, t, cond):
        return judge(torch.cat([x, t[:, None], one_hot(cond)], 1))

    def draw(num, generator):
        """Two modes of the first category, a ring of the second."""
        category = torch.randint(2, (num,), generator=generator)
        angle = 2 * torch.pi * torch.rand(num, generator=generator)
        side = torch.where(angle < torch.pi, 1.0, -1.0)
        ring = torch.stack([angle.cos(), angle.sin()], 1)
        modes = torch.stack([side, torch.zeros(num)], 1)
        data = torch.where(category[:, None] == 0, modes, ring)
        noise = 0.05 * torch.randn(num, 2, generator=generator)
        return data + noise, Condition(category=category)

    def samples(map_of_noise, cond, generator):
        z = torch.randn(len(cond.category), 2, generator=generator)
        return map_of_noise(torch.cat([z, one_hot(cond)], 1))

    # The two chase each other round the data, differently on every processor: it is their mean
    # that ends there.
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))

    def far():
        data, cond = draw(1_000, seeded(5))
        with torch.no_grad():
            drawn = samples(averaged, cond, seeded(6))
        return [
            energy_distance(drawn[cond.category == k], data[cond.category == k]) for k in (0, 1)
        ]

    before, generator = far(), seeded()
    objective = Adversarial(LINEAR, penalty=0.1)
    movers = [
        torch.optim.Adam(part.parameters(), lr=2e-3, betas=(0.0, 0.98)) for part in (network, judge)
    ]
    for _ in range(1_500):
        data, cond = draw(512, generator)
        losses = objective.critic_loss, objective.map_loss
        for mover, loss in zip(movers[::-1], losses, strict=True):
            for each in movers:
                each.zero_grad()
            drawn = samples(network, cond, generator)
            loss(critic, data, drawn, cond, generator).backward()
            mover.step()
        averaged.update_parameters(network)
    # Of six seeds 0.00 to 0.03.
    assert all(now < 0.05 * then for now, then in zip(far(), before, strict=True)), (before, far())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"noise": 1.5}, "noise and clean are within 0 and 1, got 1.5, 0.25"),
        ({"clean": -0.1}, "noise and clean are within 0 and 1"),
        ({"penalty": -1.0}, "penalty is at least 0 and reach above it, got -1.0, 0.1"),
        ({"reach": 0.0}, "reach above it, got 1.0, 0.0"),
    ],
)
def test_wrong_numbers(wrong, said):
    with pytest.raises(ValueError, match=said):
        Adversarial(LINEAR, **wrong)
