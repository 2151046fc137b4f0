"""A sitting before the viewer, without a screen: events, undo, refinement, failures."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.seeds import great_circle
from geoflow_viewer.generation import latent_of
from geoflow_viewer.items import Rung
from geoflow_viewer.kinds.source import noise_of
from geoflow_viewer.models import Models
from geoflow_viewer.session import Session
from geoflow_viewer.state import COMPARED_STEPS, NUM_VARIATIONS, State

LADDER = (Rung(16, 64), Rung(20, 96), Rung(24, 128))
START = State(model="tiny", seed=3)


@pytest.fixture
def session(models):
    seeds = iter(range(100, 200))
    session = Session(models, START, rest=0.0, draw_seed=lambda: next(seeds), rungs=LADDER)
    session.start()
    assert session.wait()
    yield session
    assert session.close()


def vertices(session, index=0):
    return np.asarray(session.result.items[index].mesh.vertices)


def differ(a, b):
    return a.shape != b.shape or not np.array_equal(a, b)


def await_result(session, holds):
    arrived = threading.Event()

    def look():
        if session.result is not None and holds(session.result):
            arrived.set()

    with session.lock:
        session.subscribe(look)
        look()
    assert arrived.wait(30)


def test_a_shape_is_that_of_the_generator_on_the_finest_rung(session, generator):
    (mesh,) = generator.sample(seed=3, steps=2, resolution=LADDER[-1].resolution)
    assert session.result.rung == LADDER[-1]
    assert session.error == ""
    assert not session.is_busy
    np.testing.assert_array_equal(vertices(session), mesh.vertices)


@pytest.mark.parametrize(
    "change",
    [{"steps": 1}, {"steps": 4}, {"seed": 4}, {"category": "pebble"}, {"time": 0.7}, {"ode": True},
     {"to_seed": 9, "blend": 0.5}],
    ids=str,
)  # fmt: skip
def test_every_choice_moves_the_surface_and_undo_brings_it_back(session, change):
    before = vertices(session)
    session.change(**change)
    assert session.wait()
    assert differ(vertices(session), before)
    assert session.undo()
    assert session.wait()
    assert session.state == START
    np.testing.assert_array_equal(vertices(session), before)
    assert session.redo()
    assert session.state == replace(START, **change)


def test_rungs_come_in_order_and_a_drag_never_climbs(models):
    seen = []
    session = Session(models, START, rest=30.0, rungs=LADDER)
    session.subscribe(lambda: session.result and seen.append(session.result.rung))
    session.start()
    for steps in (1, 2, 3, 4):
        session.change(steps=steps)
        await_result(session, lambda result, steps=steps: result.state.steps == steps)
    # The worker rests before the second rung, and each event wakes it.
    assert set(seen) == {LADDER[0]}
    assert session.close()
    quick = Session(models, START, rest=0.0, rungs=LADDER)
    rungs = []
    quick.subscribe(lambda: quick.result and rungs.append(quick.result.rung))
    quick.start()
    assert quick.wait()
    assert list(dict.fromkeys(rungs)) == list(LADDER)
    assert quick.close()


def test_an_old_result_never_follows_a_newer_request(session):
    seen = []
    session.subscribe(lambda: seen.append((session.state.seed, session.result.state.seed)))
    for seed in range(10, 30):
        session.change(seed=seed)
    assert session.wait()
    assert session.result.state.seed == 29
    shown = [result for _, result in seen]
    # A result in between may have been seen, but none after a younger one.
    assert shown == sorted(shown)


def test_a_drag_is_one_step_back_and_other_changes_are_one_each(session):
    for steps in (3, 4, 5, 6):
        session.change(steps=steps)
    session.change(seed=8)
    session.change(seed=9)
    assert session.undo()
    assert session.state.seed == 8
    assert session.undo()
    assert (session.state.seed, session.state.steps) == (3, 6)
    assert session.undo()
    assert session.state == START
    assert not session.undo()
    for _ in range(3):
        assert session.redo()
    assert not session.redo()
    assert session.state.seed == 9
    session.undo()
    session.change(steps=1)
    assert not session.redo()


def test_a_locked_seed_stays(session):
    assert session.new_seed()
    assert session.state.seed == 100
    session.change(locked=True)
    assert not session.new_seed()
    assert session.state.seed == 100
    session.change(locked=False)
    assert session.new_seed()
    assert session.state.seed == 101


def test_what_is_only_drawn_asks_for_nothing_new(session):
    before = session.result
    session.toggle("points")
    session.toggle("latent")
    assert not session.is_busy
    assert session.result is before
    assert session.state.show == ("mesh", "points", "latent")
    session.toggle("slice")
    assert session.wait()
    # The field is asked on a plane, without going down to a coarse mesh.
    assert session.result is not before
    assert session.result.rung == LADDER[-1]
    assert session.result.items[0].slice is not None
    for show in ("slice", "points", "latent", "mesh"):
        session.toggle(show)
    assert session.state.show == ("mesh",)


def test_a_failure_is_said_and_the_last_good_mesh_stays(session, generator, monkeypatch):
    before = vertices(session)
    decode = type(generator).decode

    def failing(self, tokens, **options):
        raise EmptySurfaceError("the field is outside everywhere")

    monkeypatch.setattr(type(generator), "decode", failing)
    session.change(seed=5)
    assert session.wait()
    assert "outside everywhere" in session.error
    np.testing.assert_array_equal(vertices(session), before)
    monkeypatch.setattr(type(generator), "decode", decode)
    session.change(seed=6)
    assert session.wait()
    assert session.error == ""
    assert differ(vertices(session), before)


def test_unknown_models_fields_and_values_are_refused(session):
    before = session.result
    session.change(model="nothing")
    assert session.wait()
    assert "model must be one of tiny, chair, shapes, airplane, got 'nothing'" in session.error
    assert session.result is before
    session.undo()
    for values, error in [
        ({"steps": 0}, ValueError),
        ({"time": 1.5}, ValueError),
        ({"show": ()}, ValueError),
        ({"layout": "pile"}, ValueError),
        ({"sead": 3}, TypeError),
    ]:
        with pytest.raises(error):
            session.change(**values)
    assert session.state == START


def test_layouts_show_single_shapes_and_one_is_chosen(session, generator):
    session.change(layout="variations")
    assert session.wait()
    assert len(session.result.items) == NUM_VARIATIONS
    assert session.result.rung == LADDER[-2]
    sixth = vertices(session, 5)
    (mesh,) = generator.sample(seed=8, steps=2, resolution=LADDER[-2].resolution)
    np.testing.assert_array_equal(sixth, mesh.vertices)
    session.choose(5)
    assert session.wait()
    assert session.state == replace(START, seed=8)
    with pytest.raises(IndexError):
        session.choose(1)
    session.change(layout="compare")
    assert session.wait()
    assert [item.state.steps for item in session.result.items] == list(COMPARED_STEPS)
    assert [item.state.ode for item in session.result.items] == [False, False, False, True]
    assert differ(vertices(session, 0), vertices(session, 2))


def test_interpolation_runs_to_and_fro(session, models, generator):
    session.play(True)
    assert session.state.to_seed == 100
    blends = []
    for _ in range(30):
        assert session.wait()
        session.tick(0.5)
        blends.append(session.state.blend)
    assert session.wait()
    steps = np.diff(blends)
    assert max(blends) == 1.0
    assert (steps > 0).any()
    assert (steps < 0).any()
    session.play(False)
    session.tick(0.5)
    assert session.state.blend == blends[-1]
    ends = [replace(START, to_seed=100, blend=b) for b in (0.0, 1.0)]
    for state, seed in zip(ends, (3, 100), strict=True):
        np.testing.assert_allclose(
            noise_of(state, generator), generator.noise(1, seed=seed), atol=1e-6
        )


def test_great_circle_keeps_the_length_that_a_line_loses(generator):
    a, b = generator.noise(1, seed=1), generator.noise(1, seed=2)
    a, b = a / a.norm(), b / b.norm()
    for share in (0.0, 0.25, 0.5, 1.0):
        assert abs(float(great_circle(a, b, share).norm()) - 1) < 1e-5
    assert float((0.5 * (a + b)).norm()) < 0.9
    middle = great_circle(a, b, 0.5)
    assert abs(float((middle * a).sum() - (middle * b).sum())) < 1e-5
    with pytest.raises(ValueError, match="opposite"):
        great_circle(a, -a, 0.5)


def test_the_way_begins_with_the_noise_and_ends_with_the_sample(models, generator):
    noise = generator.noise(1, seed=3)
    end = generator.sample_latents(noise, steps=2)[0]
    first = generator.scale.denormalise(noise, generator.frame_for(1))[0]
    at = {t: latent_of(replace(START, time=t), models, {}) for t in (0.0, 0.3, 0.5, 1.0)}
    np.testing.assert_array_equal(at[1.0], end)
    np.testing.assert_array_equal(at[0.0], first)
    states = list(generator.trajectory(noise, steps=2))
    np.testing.assert_array_equal(at[0.5], states[1][0])
    assert differ(at[0.3].numpy(), at[0.5].numpy())


def test_a_mesh_is_opened_placed_and_reconstructed(session):
    box = trimesh.creation.box(extents=[4.0, 2.0, 2.0]).apply_translation([5, 5, 5])
    session.open_mesh("box.obj", box, reconstruct=True)
    assert session.wait()
    assert [item.label for item in session.result.items] == ["box.obj", "reconstruction"]
    np.testing.assert_allclose(vertices(session).max(0), [1.0, 0.5, 0.5])
    assert session.result.items[0].mesh.is_watertight
    session.undo()
    assert session.wait()
    assert len(session.result.items) == 1
    assert session.state == START
    with pytest.raises(ValueError, match="no vertices"):
        session.open_mesh("empty.obj", trimesh.Trimesh())


def test_the_turntable_turns_only_when_it_is_on(session):
    session.tick(1.0)
    assert session.angle == 0.0
    session.turn(True)
    session.tick(1.0)
    assert session.angle == pytest.approx(36.0)
    session.tick(9.5)
    assert session.angle == pytest.approx(18.0)


def test_models_are_loaded_once_and_only_from_the_list(generator):
    loaded = []
    models = Models(["tiny"], load=lambda name: loaded.append(name) or generator)
    assert models["tiny"] is models["tiny"]
    assert loaded == ["tiny"]
    with pytest.raises(ValueError, match="model must be one of tiny, chair, shapes, airplane"):
        models["/etc"]
