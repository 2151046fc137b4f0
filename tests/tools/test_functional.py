"""The functional formulation: noise of a known covariance, an equivariant map of functions, and
solutions that answer anywhere."""

from dataclasses import replace

import pytest
import torch

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import Linear
from geoflow.objectives import Cumulative
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow_tools.functional import solution as solutions
from geoflow_tools.functional.network import (
    FunctionalConfig,
    FunctionalNetwork,
    FunctionCondition,
)
from geoflow_tools.functional.random_function import RandomFunction, kernel
from geoflow_tools.functional.solution import solve

SMALL = FunctionalConfig(context=5, width=16, heads=2, blocks=1, near=3, layers=1)
DOUBLE = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(*shape, seed=0):
    return 2 * torch.rand(*shape, 3, generator=generator(seed), dtype=DOUBLE) - 1


def made(prediction="x1"):
    """A map in double precision, whose output no weight leaves at zero."""
    torch.manual_seed(1)
    return FlowMap(FunctionalNetwork(SMALL).double(), Linear(), prediction)


def given(num=2, places=9, points=7):
    frame = torch.eye(3, dtype=DOUBLE).expand(num, 3, 3)
    return FunctionCondition(
        frame=frame, points=uniform(num, points), places=uniform(num, places, seed=1)
    )


def state(cond):
    return torch.randn(cond.places.shape[:2], generator=generator(2), dtype=DOUBLE)


TIMES = torch.tensor([0.1, 0.6], dtype=DOUBLE), torch.tensor([0.4, 1.0], dtype=DOUBLE)


def turn():
    """A rotation with a reflection."""
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator(5), dtype=DOUBLE))
    return q if torch.det(q) < 0 else -q


# The noise.


def test_noise_is_gaussian_with_its_covariance():
    num, places = 20_000, uniform(1, 3)
    shared = RandomFunction.draw(1, features=8, generator=generator(), dtype=DOUBLE).frequencies
    weights = torch.randn(num, 16, generator=generator(1), dtype=DOUBLE)
    noise = RandomFunction(shared.expand(num, 8, 3), weights)
    values = noise(places.expand(num, 3, 3))
    found = values.T @ values / num
    covariance = RandomFunction(shared, weights[:1]).covariance(places, places)[0]
    # Deviations of a sample's second moments are at most sqrt(2 / num) = 0.01.
    assert (found - covariance).abs().max() < 0.04
    assert (covariance - torch.eye(3)).abs().max() > 0.2
    # In the covariance's own axes values are of unit variance, and of a Gaussian's kurtosis.
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), values.T, upper=False)
    assert (white.pow(4).mean(1) - 3).abs().max() < 0.25
    assert torch.allclose(covariance.diagonal(), torch.ones(3, dtype=DOUBLE))


def test_weights_of_one_sign_are_no_such_noise():
    num, places = 20_000, uniform(1, 3)
    noise = RandomFunction.draw(num, features=8, generator=generator(), dtype=DOUBLE)
    values = replace(noise, weights=noise.weights.abs())(places.expand(num, 3, 3))
    expected = noise.covariance(places.expand(num, 3, 3), places.expand(num, 3, 3)).mean(0)
    assert (values.T @ values / num - expected).abs().max() > 0.2


def test_the_covariance_is_the_kernel_in_expectation():
    length, num = 0.7, 400
    p, q = uniform(1, 4), uniform(1, 4, seed=1)
    noise = RandomFunction.draw(num, length=length, generator=generator(), dtype=DOUBLE)
    mean = noise.covariance(p.expand(num, 4, 3), q.expand(num, 4, 3)).mean(0)
    pairs = p[0, :, None].expand(4, 4, 3), q[0, None].expand(4, 4, 3)
    expected = kernel(*pairs, length=length)
    # 400 x 256 cosines of deviation below 1.
    assert (mean - expected).abs().max() < 0.015
    assert (mean - kernel(*pairs, length=0.4)).abs().max() > 0.1


def test_a_function_has_one_value_at_a_place():
    noise = RandomFunction.draw(2, generator=generator(), dtype=DOUBLE)
    places = uniform(2, 6)
    order = torch.tensor([4, 0, 5])
    torch.testing.assert_close(noise(places[:, order]), noise(places)[:, order])
    near = noise(places + 1e-6) - noise(places)
    assert near.abs().max() < 1e-4
    assert not torch.allclose(noise(places)[0], noise(places[[1, 1]])[0])


def test_a_length_is_above_zero():
    for length in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="length must be above 0"):
            RandomFunction.draw(1, length=length)


# The network.


def test_the_network_turns_with_its_frame():
    network, cond = made().backbone, given()
    x, rotation = state(cond), turn()
    turned = FunctionCondition(
        frame=cond.frame @ rotation, points=cond.points @ rotation, places=cond.places @ rotation
    )
    out = network(x, *TIMES, cond)
    torch.testing.assert_close(network(x, *TIMES, turned), out, rtol=0, atol=1e-12)
    held = replace(turned, frame=cond.frame)
    assert (network(x, *TIMES, held) - out).abs().max() > 1e-3


def test_points_have_no_order_and_queries_keep_theirs():
    network, cond = made().backbone, given()
    x = state(cond)
    out = network(x, *TIMES, cond)
    shuffled = replace(cond, points=cond.points[:, [3, 1, 0, 6, 5, 2, 4]])
    torch.testing.assert_close(network(x, *TIMES, shuffled), out, rtol=0, atol=1e-12)
    # The context among itself, and the queries among themselves.
    order = torch.tensor([2, 0, 4, 1, 3, 8, 6, 5, 7])
    moved = network(x[:, order], *TIMES, replace(cond, places=cond.places[:, order]))
    torch.testing.assert_close(moved, out[:, order], rtol=0, atol=1e-12)
    # A query that changes places with one of the context is another context.
    swapped = torch.tensor([8, 1, 2, 3, 4, 5, 6, 7, 0])
    other = network(x[:, swapped], *TIMES, replace(cond, places=cond.places[:, swapped]))
    assert (other - out[:, swapped]).abs().max() > 1e-4


def test_an_answer_depends_on_the_context_and_not_on_other_queries():
    network, cond = made().backbone, given()
    x = state(cond)
    out = network(x, *TIMES, cond)
    fewer = network(x[:, :6], *TIMES, replace(cond, places=cond.places[:, :6]))
    torch.testing.assert_close(fewer, out[:, :6], rtol=0, atol=1e-12)
    changed = x.clone()
    changed[:, 7] += 1
    moved = (network(changed, *TIMES, cond) - out).abs().amax(0)
    assert moved[7] > 1e-4
    assert moved[[*range(7), 8]].max() < 1e-12
    changed = x.clone()
    changed[:, 0] += 1
    assert (network(changed, *TIMES, cond) - out).abs().amax(0).min() > 1e-6


def test_both_times_and_the_points_are_read():
    network, cond = made().backbone, given()
    x, (t, r) = state(cond), TIMES
    out = network(x, t, r, cond)
    others = [
        network(x, t, r + 0.2, cond),
        network(x, t + 0.2, r, cond),
        network(x, t, r, replace(cond, points=cond.points * 0.9)),
    ]
    for other in others:
        assert (other - out).abs().max() > 1e-4


def test_forward_mode_agrees_with_differences():
    flow_map, cond = made(), given()
    x, (t, r) = state(cond), TIMES
    one, step = torch.ones_like(t), 1e-6
    _, slope = torch.func.jvp(lambda r: flow_map(x, t, r, cond), (r,), (one,))
    apart = flow_map(x, t, r + step, cond) - flow_map(x, t, r - step, cond)
    torch.testing.assert_close(slope, apart / (2 * step), rtol=1e-6, atol=1e-6)
    x0, x1 = x.float(), x.float().flip(1)
    single = FunctionCondition(**{name: part.float() for name, part in cond.parts().items()})
    loss = Cumulative(derivative="jvp")(flow_map.float(), x0, x1, single, generator=generator())
    assert bool(loss.total.isfinite().all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": None}, r"needs cond\.points"),
        ({"places": None}, "needs the places of its state"),
        ({"frame": None}, r"cond\.frame must have 3 vectors for this model, got 0"),
        ({"places": uniform(2, 4)}, "at least 5 places and 3 points, got 4 and 7"),
        ({"points": uniform(2, 2)}, "at least 5 places and 3 points, got 9 and 2"),
    ],
)
def test_what_is_missing_is_named(change, message):
    cond = replace(given(), **change)
    x = torch.zeros(2, 9 if cond.places is None else cond.places.shape[1], dtype=DOUBLE)
    with pytest.raises(ValueError, match=message):
        made()(x, *TIMES, cond)


def test_other_conditions_are_no_condition_of_a_function():
    cond = given()
    for other in (None, Condition(frame=cond.frame, points=cond.points)):
        with pytest.raises(ValueError, match=r"needs cond\.points|a FunctionCondition"):
            made()(state(cond), *TIMES, other)


def test_a_condition_of_a_function_keeps_its_places():
    cond = given(3)
    assert torch.equal(cond[torch.tensor([2, 0])].places, cond.places[[2, 0]])
    assert cond.repeat(2).places.shape == (6, 9, 3)
    assert list(cond.to("meta").parts()) == ["frame", "points", "places"]


# Solutions.


@pytest.mark.parametrize("ode", [False, True])
@pytest.mark.parametrize("prediction", ["x1", "u"])
def test_a_solution_is_the_samplers_result_at_any_queries(monkeypatch, ode, prediction):
    flow_map = made(prediction)
    cond = given(1, places=5 + 11)
    noise = RandomFunction.draw(1, generator=generator(), dtype=DOUBLE)
    sample = sample_ode if ode else sample_flow_map
    with torch.no_grad():
        *_, whole = sample(flow_map, noise(cond.places), steps=3, cond=cond)
    context = cond.places[:, :5]
    found = solve(flow_map, cond.points, context, noise, steps=3, ode=ode)
    torch.testing.assert_close(found(cond.places[0]), whole[0], rtol=0, atol=1e-12)
    monkeypatch.setattr(solutions, "CHUNK", 3)
    torch.testing.assert_close(found(cond.places[0]), whole[0], rtol=0, atol=1e-12)
    # Jumps and first-order steps part, and so do numbers of steps.
    other = solve(flow_map, cond.points, context, noise, steps=3, ode=not ode)
    fewer = solve(flow_map, cond.points, context, noise, steps=2, ode=ode)
    for answer in (other, fewer):
        assert (answer(cond.places[0]) - whole[0]).abs().max() > 1e-4


def test_a_solution_turns_with_its_frame():
    flow_map, cond, rotation = made(), given(1), turn()
    noise = RandomFunction.draw(1, generator=generator(), dtype=DOUBLE)
    turned_noise = replace(noise, frequencies=noise.frequencies @ rotation)
    context = cond.places[:, :5]
    upright = solve(flow_map, cond.points, context, noise, steps=2)
    turned = solve(
        flow_map, cond.points @ rotation, context @ rotation, turned_noise, steps=2,
        frame=rotation[None],
    )  # fmt: skip
    values = turned(cond.places[0] @ rotation)
    torch.testing.assert_close(values, upright(cond.places[0]), rtol=0, atol=1e-12)


def test_what_cannot_be_solved_is_refused():
    cond = given(1)
    noise = RandomFunction.draw(1, dtype=DOUBLE)
    with pytest.raises(ValueError, match="at least 1 step and 5 places of context, got 0 and 5"):
        solve(made(), cond.points, cond.places[:, :5], noise, steps=0)
    with pytest.raises(ValueError, match="got 1 and 4"):
        solve(made(), cond.points, cond.places[:, :4], noise, steps=1)
    other = FlowMap(torch.nn.Identity(), Linear(), "x1")
    with pytest.raises(ValueError, match="map of a FunctionalNetwork, got Identity"):
        solve(other, cond.points, cond.places[:, :5], noise, steps=1)
