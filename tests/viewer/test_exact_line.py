"""The line on the screen makes the same again, after whatever way of events led there."""

import random
import shlex
from dataclasses import replace

import pytest
import trimesh

from geoflow_cli.commands import parse
from geoflow_cli.options import View
from geoflow_viewer.command import command
from geoflow_viewer.items import Rung
from geoflow_viewer.session import Session
from geoflow_viewer.state import LAYOUTS, SHOWS, State, visible

RUNG = Rung(16, 64)


def state_of(line):
    """The state that `geoflow view` would begin with, and how fine it would draw."""
    program, name, *words = shlex.split(line)
    assert (program, name) == ("geoflow", "view")
    options = parse(View, name, words)
    assert options.mesh is not None or not options.reconstruct, "the command would refuse it"
    state = State(
        options.model, options.category, options.seed, steps=options.steps, ode=options.ode,
        time=options.time, to_seed=options.to_seed, blend=options.blend,
        mesh=None if options.mesh is None else str(options.mesh), reconstruct=options.reconstruct,
        layout=options.layout, show=options.show, slice=options.slice, up=options.up,
    )  # fmt: skip
    return state, options.resolution


def drawn(session, state):
    """What is drawn of a state; a lock, and a slice that is not drawn, change no picture."""
    show = visible(state.show, session.shows)
    cut = state.slice if "slice" in show else 0.0
    made = state.reconstruct and state.mesh is not None
    up = state.up if state.mesh is not None else "y"
    return replace(state, show=show, slice=cut, locked=False, reconstruct=made, up=up)


def event(session, rng):
    acts = (
        lambda: session.change(seed=rng.choice((0, 7, 2**31 - 1))),
        lambda: session.change(steps=rng.randint(1, 8), ode=rng.random() < 0.3),
        lambda: session.change(time=rng.choice((0.0, 0.1, 1 / 3, 1.0))),
        lambda: session.change(to_seed=rng.choice((None, 5))),
        lambda: session.change(blend=rng.random()),
        lambda: session.change(layout=rng.choice(LAYOUTS)),
        lambda: session.change(slice=rng.choice((-1.0, 0.02, 1.0))),
        lambda: session.toggle(rng.choice(SHOWS)),
        lambda: session.open_mesh("my box.obj", trimesh.creation.box(), reconstruct=True),
        lambda: session.change(mesh=None, reconstruct=False),
        lambda: session.change(mesh=None),
        lambda: session.change(up=rng.choice("yz")),
        lambda: session.change(category=rng.choice((None, "pebble"))),
        lambda: session.change(locked=True),
        session.undo,
        session.redo,
    )
    try:
        rng.choice(acts)()
    except (ValueError, IndexError):
        return


@pytest.mark.parametrize("seed", range(3))
def test_the_line_replays_what_is_on_the_screen(models, seed, monkeypatch):
    monkeypatch.setattr(Session, "_request", lambda *a, **o: None)
    session, rng = Session(models, State(model="tiny")), random.Random(seed)
    models["tiny"]
    for _ in range(30):
        event(session, rng)
        line = command(
            session.state, rung=RUNG, out=None, kind=session.kind, shows=session.shows
        )  # fmt: skip
        again, resolution = state_of(line)
        assert drawn(session, again) == drawn(session, session.state), line
        if session.state.mesh is None or session.state.reconstruct:
            assert resolution == RUNG.resolution
    session.close()
