"""Networks of point sets keep their symmetry, before and after training; the baseline does not."""

import pytest
import torch
from point_networks import ALL, EQUIVARIANT
from torch import nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives import FlowMatching
from geoflow.symmetry import FRAME_SIZES, upright_frame
from geoflow.testing import assert_equivariant, relative_error, rotate_points, rotate_tokens

BATCH, NUM = 3, 24
TOKENS = torch.randn(BATCH, 3, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
CASES = [(name, symmetry) for name in EQUIVARIANT for symmetry in FRAME_SIZES]


def build(name, symmetry="frame", dtype=torch.float64, *, trained=False):
    torch.manual_seed(0)
    network = ALL[name](FRAME_SIZES[symmetry]).to(dtype)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    if trained:
        x0, x1 = (cloud(dtype, seed) for seed in (5, 6))
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
        flow_map = FlowMap(network, "linear", "u")
        losses = []
        for step in range(12):
            generator = torch.Generator().manual_seed(step % 2)
            found = FlowMatching()(flow_map, x0, x1, given(symmetry, dtype), generator=generator)
            losses.append(found.total.mean())
            optimiser.zero_grad()
            losses[-1].backward()
            optimiser.step()
        assert losses[-1] < losses[1]
    return network


def cloud(dtype, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, NUM, 3, generator=generator, dtype=torch.float64).to(dtype)


def given(symmetry, dtype, rotation=None):
    frame = upright_frame(symmetry, BATCH)
    frame = None if frame is None else frame.to(dtype)
    tokens = TOKENS.to(dtype)
    if rotation is not None:
        frame = None if frame is None else rotate_points(frame, rotation)
        tokens = rotate_tokens(tokens, rotation, scalars=4)
    return Condition(frame, torch.tensor([0, 1, 0]), tokens)


def times(dtype):
    return torch.tensor([0.1, 0.4, 0.8], dtype=dtype), torch.tensor([0.3, 0.4, 1.0], dtype=dtype)


def turning(network, symmetry, dtype):
    x = cloud(dtype)

    def compare(rotation):
        rotation = torch.cat([rotation, rotation])[:BATCH]
        moved = network(rotate_points(x, rotation), *times(dtype), given(symmetry, dtype, rotation))
        expected = rotate_points(network(x, *times(dtype), given(symmetry, dtype)), rotation)
        return moved, expected

    return compare


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "symmetry"), CASES)
def test_rotating_points_rotates_the_field(name, symmetry, dtype, trained):
    network = build(name, symmetry, dtype, trained=trained)
    generator = torch.Generator().manual_seed(7)
    assert_equivariant(turning(network, symmetry, dtype), generator=generator, dtype=dtype)


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_reflections_too(name):
    network, mirror = build(name, "so2"), torch.diag(torch.tensor([-1.0, 1.0, 1.0]).double())
    moved, expected = turning(network, "so2", torch.float64)(mirror.expand(BATCH, 3, 3))
    assert relative_error(moved, expected) < 1e-9


def test_the_baseline_commutes_with_no_rotation():
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(turning(build("point-baseline"), "frame", torch.float64))


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_a_frame_left_behind_is_noticed(name):
    """What the frame says matters: rotating the points alone is another question."""
    network, x = build(name), cloud(torch.float64)

    def compare(rotation):
        rotation = torch.cat([rotation, rotation])[:BATCH]
        cond = given("frame", torch.float64, rotation)
        left = Condition(given("frame", torch.float64).frame, cond.category, cond.tokens)
        moved = network(rotate_points(x, rotation), *times(torch.float64), left)
        still = network(x, *times(torch.float64), given("frame", torch.float64))
        return moved, rotate_points(still, rotation)

    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(compare)


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_points_does_not_matter(name):
    network, x = build(name), cloud(torch.float64)
    order = torch.randperm(NUM, generator=torch.Generator().manual_seed(2))
    cond = given("frame", torch.float64)
    once, again = (network(points, *times(torch.float64), cond) for points in (x, x[:, order]))
    assert relative_error(again, once[:, order]) < 1e-12
    assert relative_error(again, once) > 1e-3


def test_messages_do_not_know_where_they_are():
    x, shift = cloud(torch.float64), torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    cond = given("frame", torch.float64)
    for name, is_free in (("point-messages", True), ("point-transformer", False)):
        network = build(name)
        here, there = (network(points, *times(torch.float64), cond) for points in (x, x + shift))
        assert (relative_error(there, here) < 1e-9) == is_free


@pytest.mark.parametrize("name", ALL)
def test_forward_derivatives_are_exact(name):
    network, cond = build(name), given("frame", torch.float64)
    x, dx = cloud(torch.float64), cloud(torch.float64, 8)
    t, r = times(torch.float64)

    def field(x, t):
        return network(x, t, r, cond)

    with torch.no_grad():
        _, exact = torch.func.jvp(field, (x, t), (dx, torch.ones_like(t)))
        h = 1e-6
        central = (field(x + h * dx, t + h) - field(x - h * dx, t - h)) / (2 * h)
    assert relative_error(exact, central) < 1e-5


@pytest.mark.parametrize("name", ALL)
def test_everything_is_read(name):
    """Times, category or latent, and every parameter have an effect."""
    network, x = build(name), cloud(torch.float64)
    (t, r), cond = times(torch.float64), given("frame", torch.float64)
    out = network(x, t, r, cond)
    out.square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key
    assert relative_error(network(x, t + 0.1, r, cond), out) > 1e-4
    assert relative_error(network(x, t, r - 0.1, cond), out) > 1e-4
    other = Condition(cond.frame, 1 - cond.category, cond.tokens.flip(0))
    assert relative_error(network(x, t, r, other), out) > 1e-4


@pytest.mark.parametrize("name", ALL)
def test_equal_times_are_one_time(name):
    """Exchanging the embeddings of the two times changes nothing on the diagonal alone."""
    network, x = build(name), cloud(torch.float64)
    t, r = times(torch.float64)
    cond = given("frame", torch.float64)
    before = network(x, t, t, cond), network(x, t, r, cond)
    holder = network.condition
    holder.time_from, holder.time_to = holder.time_to, holder.time_from
    assert relative_error(network(x, t, t, cond), before[0]) < 1e-12
    assert relative_error(network(x, t, r, cond), before[1]) > 1e-6


def test_a_wrong_condition_is_refused():
    x, (t, r) = cloud(torch.float64), times(torch.float64)
    for name in ("point-transformer", "point-messages"):
        with pytest.raises(ValueError, match=r"cond\.frame must have 3 vectors.*got 0"):
            build(name)(x, t, r, None)
    with pytest.raises(ValueError, match=r"needs cond\.tokens"):
        build("point-decoder")(x, t, r, None)
    with pytest.raises(ValueError, match="at least 2 points, got 1"):
        build("point-messages")(x[:, :1], t, r, given("frame", torch.float64))
