"""While a slider moves: shapes are seen on the way, and what is there is not made again."""

import threading
from collections import Counter

import numpy as np
import pytest
import trimesh

from geoflow_viewer.items import Rung
from geoflow_viewer.kinds.fields import Source as FieldSource
from geoflow_viewer.session import Session
from geoflow_viewer.state import State

LADDER = (Rung(16, 64), Rung(20, 96), Rung(24, 128))


@pytest.fixture
def session(models):
    session = Session(models, State(model="tiny", seed=3), rest=0.0, rungs=LADDER)
    session.start()
    assert session.wait()
    yield session
    assert session.close()


@pytest.fixture
def made(monkeypatch):
    """Resolutions at which meshes are extracted."""
    counts, item = Counter(), FieldSource.item

    def counting(self, label, state, latent, rung, ticket):
        counts[rung.resolution] += 1
        return item(self, label, state, latent, rung, ticket)

    monkeypatch.setattr(FieldSource, "item", counting)
    return counts


def held(monkeypatch):
    """Events: a mesh has been begun, and meshes may be finished."""
    begun, go, item = threading.Event(), threading.Event(), FieldSource.item

    def slow(self, *args):
        begun.set()
        assert go.wait(30)
        return item(self, *args)

    monkeypatch.setattr(FieldSource, "item", slow)
    return begun, go


@pytest.mark.parametrize(
    ("name", "values"),
    [("blend", (0.1, 0.2, 0.3, 0.4)), ("time", (0.9, 0.8, 0.7, 0.6)), ("steps", (3, 4, 5, 6))],
)
def test_a_drag_faster_than_its_shapes_shows_some_and_ends_with_the_last(
    session, monkeypatch, name, values
):
    """Every event in turn would end the one before: nothing would be seen before the end."""
    session.change(to_seed=9)
    assert session.wait()
    seen, (begun, go) = [], held(monkeypatch)
    session.change(**{name: values[0]})
    assert begun.wait(30)
    for value in values[1:]:
        session.change(**{name: value})
    session.subscribe(lambda: seen.append(getattr(session.result.state, name)))
    go.set()
    assert session.wait()
    assert list(dict.fromkeys(seen)) == [values[0], values[-1]]
    assert session.result.rung == LADDER[-1]
    assert session.undo()
    # A drag is one thing to undo.
    assert getattr(session.state, name) == getattr(State(), name)


def test_another_choice_ends_a_drag_at_once(session, monkeypatch):
    seen, (begun, go) = [], held(monkeypatch)
    session.change(steps=3)
    assert begun.wait(30)
    session.change(steps=4)
    session.change(seed=8)
    session.subscribe(lambda: seen.append((session.result.state.seed, session.result.state.steps)))
    go.set()
    assert session.wait()
    # The first is what was on the screen before.
    assert set(seen) <= {(3, 2), (8, 4)}


def test_a_slice_moves_through_a_shape_that_stays(session, made):
    session.toggle("slice")
    assert session.wait()
    mesh, at_centre = session.result.items[0].mesh, session.result.items[0].slice
    session.change(slice=0.3)
    assert session.wait()
    item = session.result.items[0]
    assert made == {}
    assert item.mesh is mesh
    assert session.result.rung == LADDER[-1]
    assert not np.array_equal(item.slice, at_centre)
    session.change(slice=0.0)
    assert session.wait()
    np.testing.assert_array_equal(session.result.items[0].slice, at_centre)
    # Twin: another shape is another mesh, from the coarsest on.
    session.change(seed=4)
    assert session.wait()
    assert made == {rung.resolution: 1 for rung in LADDER}
    assert session.result.items[0].mesh is not mesh


def test_a_chosen_shape_is_there_at_once_and_only_refined(session, made):
    session.change(layout="variations")
    assert session.wait()
    fifth = session.result.items[5].mesh
    made.clear()
    seen = []
    session.subscribe(lambda: seen.append(session.result.items))
    session.choose(5)
    assert session.wait()
    first = next(items for items in seen if len(items) == 1)
    assert first[0].mesh is fifth
    assert made == {LADDER[-1].resolution: 1}
    assert session.result.rung == LADDER[-1]


def test_a_file_that_changed_is_shown_anew(session):
    small, large = (trimesh.creation.box(extents=[a, 1, 1]) for a in (1.0, 4.0))
    for mesh, expected in ((small, 1.0), (large, 4.0), (small, 1.0)):
        session.open_mesh("box.obj", mesh)
        assert session.wait()
        (item,) = session.result.items
        ratio = item.mesh.extents[0] / item.mesh.extents[1]
        assert ratio == pytest.approx(expected)
    before = session.result
    session.open_mesh("box.obj", small)
    assert not session.is_busy
    assert session.result is before
