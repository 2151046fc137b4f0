"""The times of a sample's jumps: those of its configuration, wherever it is drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import tiny_models

from geoflow.flow_map import FlowMap
from geoflow.models.clouds import PointGenerator
from geoflow.models.config import from_json, to_json
from geoflow.models.editing import redraw
from geoflow.models.kinds import load
from geoflow.samplers import sample_flow_map
from geoflow.testing import (
    EQUIVARIANCE_TOLERANCE,
    random_rotations,
    relative_error,
    rotate_points,
    rotate_tokens,
)
from geoflow_viewer.items import Rung
from geoflow_viewer.kinds import clouds
from geoflow_viewer.kinds.source import tokens_of
from geoflow_viewer.state import State
from geoflow_viewer.worker import Ticket

TIMES = torch.tensor([0.0, 1 / 64, 1 / 8, 27 / 64, 1.0], dtype=torch.float64)


@pytest.fixture(params=["sdf", "points", "shapes"])
def model(request):
    model = tiny_models()[request.param]
    model.config = replace(model.config, grid_power=3.0)
    return model


def test_latents_jump_along_the_grid_of_their_model(model):
    noise, cond = model.noise(2, seed=3), model.condition(2)
    with torch.no_grad():
        *_, last = sample_flow_map(model.flow_map, noise, cond=cond, times=TIMES)
    expected = model.scale.denormalise(last, cond.frame)
    assert torch.equal(model.sample_latents(noise, cond, steps=4), expected)
    # Twins: equal jumps lead elsewhere; the ODE goes by equal intervals.
    even = replace(model.config, grid_power=1.0)
    slow = model.sample_latents(noise, cond, steps=4, ode=True)
    model.config = even
    assert not torch.allclose(model.sample_latents(noise, cond, steps=4), expected)
    assert torch.equal(model.sample_latents(noise, cond, steps=4, ode=True), slow)


@pytest.mark.parametrize("model", ["sdf", "shapes"], indirect=True)
def test_varied_latents_jump_along_the_rest_of_it(model):
    tokens, noise = model.noise(2, seed=1), model.noise(2, seed=2)
    cond = model.condition(2)
    whole = redraw(model, tokens, noise, strength=1.0, steps=4)
    assert torch.equal(whole, model.sample_latents(noise, cond, steps=4))
    # Equal in the same clock from the start on: half way is at ((0.5**(1/3) + 1) / 2)**3.
    part = redraw(model, tokens, noise, strength=0.5, steps=2)
    x = 0.5 * noise + 0.5 * model.scale.normalise(tokens, cond.frame)
    times = torch.tensor([0.5, ((0.5 ** (1 / 3) + 1) / 2) ** 3, 1.0], dtype=torch.float64)
    with torch.no_grad():
        *_, last = sample_flow_map(model.flow_map, x / 0.5, cond=cond, times=times)
    torch.testing.assert_close(part, model.scale.denormalise(last, cond.frame))
    # Twin: equal jumps lead elsewhere.
    model.config = replace(model.config, grid_power=1.0)
    assert not torch.allclose(redraw(model, tokens, noise, strength=0.5, steps=2), part)


def restarting(model):
    model.config = replace(model.config, restarts=True)
    return model


def by_hand(model, noise, cond, times, other, begin=None):
    """Jumps to the data, each from its latents mixed with tokens of other places."""
    num, one = len(times) - 1, torch.ones(len(noise))
    x = noise if begin is None else begin
    with torch.no_grad():
        for i, time in enumerate(times[:-1].float()):
            if i:
                x = (1 - time) * other.roll(i * other.shape[1] // num, dims=1) + time * x
            x = model.flow_map(x, time * one, one, cond)
    return model.scale.denormalise(x, cond.frame)


def test_samples_start_again(model):
    noise, cond = model.noise(2, seed=3), model.condition(2)
    plain = model.sample_latents(noise, cond, steps=4)
    once = model.sample_latents(noise, cond, steps=1)
    slow = model.sample_latents(noise, cond, steps=3, ode=True)
    restarting(model)
    found = model.sample_latents(noise, cond, steps=4)
    torch.testing.assert_close(found, by_hand(model, noise, cond, TIMES, noise))
    assert not torch.allclose(found, plain)
    # One jump has nowhere to start again; the ODE has no jumps.
    torch.testing.assert_close(model.sample_latents(noise, cond, steps=1), once)
    assert torch.equal(model.sample_latents(noise, cond, steps=3, ode=True), slow)
    # A state for every time: noise, then latents, the first those of one evaluation.
    way = list(model.trajectory(noise, cond, steps=4))
    assert len(way) == 5
    torch.testing.assert_close(way[1], once)
    assert model.config.jumps(2) == [(0.0, 1.0), (0.125, 1.0)]
    assert replace(model.config, restarts=False).jumps(2) == [(0.0, 0.125), (0.125, 1.0)]


@pytest.mark.parametrize("model", ["sdf", "shapes"], indirect=True)
@pytest.mark.parametrize("restarts", [False, True])
def test_samples_begin_with_warm_noise(model, restarts):
    model.config = replace(model.config, restarts=restarts)
    noise, cond, tokens = model.noise(2, seed=3), model.condition(2), model.noise(2, seed=4)

    def drawn(noise, ode=False):
        ends = [redraw(model, tokens, noise, strength=s, steps=2, ode=ode) for s in (0.6, 1.0)]
        return [model.sample_latents(noise, cond, steps=2, ode=ode), *ends]

    slow, hot = drawn(noise, ode=True), drawn(1.3 * noise)
    model.config = replace(model.config, temperature=1.3)
    for found, expected in zip(drawn(noise), hot, strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(drawn(noise)[2], drawn(noise)[0])
    # The ODE is as it was.
    assert all(map(torch.equal, drawn(noise, ode=True), slow))


def test_samples_through_points_begin_with_unit_noise():
    model = tiny_models()["shapes"]
    model.config = replace(model.config, temperature=1.3)
    noise, points = model.noise(3, seed=3), torch.zeros(3, *model.noise(1).shape[1:])
    points[1] = 1.0
    cond = replace(model.condition(3), tokens=points)
    heated = model.heated(noise, cond)
    torch.testing.assert_close(heated[[0, 2]], 1.3 * noise[[0, 2]])
    assert torch.equal(heated[1], noise[1])
    torch.testing.assert_close(model.heated(noise, model.condition(3)), 1.3 * noise)


def test_tokens_that_are_mixed_in_are_of_other_places():
    model, seen = restarting(tiny_models()["sdf"]), []
    tokens = model.config.autoencoder.num_tokens
    noise = torch.arange(tokens)[None, :, None].expand(1, tokens, 7).double()

    class Watched(FlowMap):
        def forward(self, x, t, r, cond):
            assert (r == 1).all()
            seen.append(x[0, :, 0] / (1 - t))
            return torch.zeros_like(x)

    watched = Watched(model.flow_map.backbone, "linear", "u")
    for steps in (2, 3, 8, 20):
        list(model.states(watched, noise, model.condition(1), steps=steps))
        first, *later = [x.round().long() for x in seen]
        assert (first == torch.arange(tokens)).all()
        for x in later:
            assert (x != first).all(), "no token meets its own noise again"
            assert (x.sort().values == first).all()
        seen.clear()


def test_samples_that_start_again_turn_with_their_frame():
    model = restarting(tiny_models()["sdf"])
    model.config = replace(model.config, grid_power=1.5)
    rotation = random_rotations(2, generator=torch.Generator().manual_seed(4)).float()
    noise, cond, scalars = (
        model.noise(2, seed=5),
        model.condition(2),
        model.config.autoencoder.scalars,
    )
    turned = model.condition(2, frame=rotate_points(cond.frame, rotation))
    expected = rotate_tokens(model.sample_latents(noise, cond, steps=3), rotation, scalars=scalars)
    moved = rotate_tokens(noise, rotation, scalars=scalars)
    found = model.sample_latents(moved, turned, steps=3)
    assert relative_error(found, expected) < EQUIVARIANCE_TOLERANCE[torch.float32]


@pytest.mark.parametrize("model", ["sdf", "shapes"], indirect=True)
def test_varied_latents_start_again(model):
    tokens, noise = model.noise(2, seed=1), model.noise(2, seed=2)
    cond = model.condition(2)
    restarting(model)
    whole = redraw(model, tokens, noise, strength=1.0, steps=4)
    torch.testing.assert_close(whole, model.sample_latents(noise, cond, steps=4))
    # On the way, the noise that is mixed in is unit noise again.
    part = redraw(model, tokens, noise, strength=0.5, steps=2)
    begin = 0.5 * noise + 0.5 * model.scale.normalise(tokens, cond.frame)
    times = model.config.grid(2, 0.5)
    torch.testing.assert_close(part, by_hand(model, noise, cond, times, noise, begin))


def test_points_jump_along_a_grid_of_their_own():
    model = tiny_models()["points"]
    points = replace(model.config.points, grid_power=3.0)
    other = PointGenerator.build(replace(model.config, points=points)).to("cpu")
    other.autoencoder.load_state_dict(model.autoencoder.state_dict())
    tokens, noise = model.noise(1, seed=1), model.point_noise(1, 20)
    *_, last = model.point_trajectory(tokens, noise, times=TIMES)
    assert torch.equal(other.decode(tokens, 20, steps=4), last)
    *_, way = other.point_trajectory(tokens, noise, steps=4)
    assert torch.equal(way, last)
    # Twins: without it they jump evenly; the ODE goes by equal intervals.
    assert not torch.allclose(model.decode(tokens, 20, steps=4), last)
    slow = [one.decode(tokens, 20, steps=4, ode=True) for one in (model, other)]
    assert torch.equal(*slow)


@pytest.mark.parametrize("restarts", [False, True])
def test_the_viewer_and_the_model_jump_alike(model, restarts):
    model.config = replace(model.config, restarts=restarts)
    state = State(model="tiny", steps=4, seed=5)
    found = tokens_of(model, state, 1.0)
    noise = model.noise(1, seed=5)
    assert torch.equal(found, model.sample_latents(noise, model.condition(1), steps=4)[0])
    ode = tokens_of(model, replace(state, ode=True), 1.0)
    assert torch.equal(ode, model.sample_latents(noise, model.condition(1), steps=4, ode=True)[0])
    # A stop on the way leaves the grid as it is.
    half = tokens_of(model, state, 0.5)
    stop = torch.cat([TIMES[:4], torch.tensor([0.5, 1.0])])
    *_, expected, _ = model.trajectory(noise, model.condition(1), times=stop)
    assert torch.equal(half, expected[0])


def test_the_viewer_draws_points_along_their_grid():
    model = tiny_models()["points"]
    points = replace(model.config.points, grid_power=3.0)
    model = PointGenerator.build(replace(model.config, points=points)).to("cpu")
    source, state = clouds.Source(model), State(model="tiny", steps=4)
    latent = source.latent(state)
    shown = source.item("", state, latent, Rung(8, 32), Ticket()).cloud
    assert np.array_equal(shown, model.decode(latent[None], 32, steps=4)[0].numpy())
    # Twin: the ODE goes by equal intervals.
    slow = source.item("", replace(state, ode=True), latent, Rung(8, 32), Ticket()).cloud
    assert np.array_equal(slow, model.decode(latent[None], 32, steps=4, ode=True)[0].numpy())
    assert not np.allclose(slow, shown)


def test_files_carry_the_grid(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    config = load(tmp_path / "model").config
    assert (config.grid_power, config.restarts) == (3.0, False)
    told = to_json(restarting(model).config)
    assert from_json(type(model.config), told).restarts
    # What was written before there was one is even, and starts once.
    del told["grid_power"], told["restarts"], told["temperature"]
    config = from_json(type(model.config), told)
    assert (config.grid_power, config.restarts, config.temperature) == (1.0, False, 1.0)
    for wrong in (0.0, -1.0, "fast"):
        with pytest.raises(ValueError, match="grid_power"):
            from_json(type(model.config), {**told, "grid_power": wrong})
