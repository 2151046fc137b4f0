"""Who left is forgotten, and their memory is the system's again."""

import gc
import socket
import time
import warnings
import weakref

import numpy as np
import pytest

from geoflow_viewer import browser, memory
from geoflow_viewer.browser import Browser
from geoflow_viewer.items import Rung
from geoflow_viewer.state import State

pytest.importorskip("viser", reason="needs the extra geoflow[viewer]")


def await_that(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def no_collector():
    """What is forgotten is what the page forgets."""
    gc.disable()
    yield
    gc.enable()


def test_nothing_of_a_visitor_who_left_is_kept(models, monkeypatch, no_collector):
    from visitor import Visitor

    monkeypatch.setattr(browser, "_TIDY", 0.1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    rungs = (Rung(16, 64),)
    with Browser(models, State(model="tiny"), port=port, rest=0.0, rungs=rungs) as face:
        first, second = (Visitor(face.url, State(model="tiny", seed=seed)) for seed in (1, 2))
        await_that(lambda: first.seen and second.seen)
        session = weakref.ref(next(s for s in face.sessions if s.state.seed == 1))
        first.leave()
        await_that(lambda: session() is None)
        # The twin: who is here stays.
        (left,) = face.sessions
        assert left.state.seed == 2
        second.leave()
        last = weakref.ref(left)
        del left
        await_that(lambda: last() is None)


def test_what_is_drawn_for_who_left_is_said_nowhere(models):
    from visitor import Visitor

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Browser(models, State(model="tiny"), port=port, rungs=(Rung(16, 64),)) as face:
            visitors = [Visitor(face.url, State(model="tiny", seed=seed)) for seed in (1, 2)]
            await_that(lambda: all(visitor.seen for visitor in visitors))
            first, second = (drawn._client for drawn in face._visitors.values())
            for visitor in visitors:
                visitor.leave()
            await_that(lambda: not face.sessions)
            first.local_storage.set_item("a", "b")
            # Twin: viser would say it on the host's screen.
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="on a closed connection"):
                second.local_storage.set_item("a", "b")


def test_giving_back_ends_what_holds_itself(no_collector):
    class Shape:
        def __init__(self):
            self.points, self.self = np.zeros(3), self

    shape = weakref.ref(Shape())
    assert shape() is not None
    memory.give_back()
    assert shape() is None
