"""Visitors in line: everybody's coarse shape comes first, in order; nothing is kept for long."""

import threading
import time

import numpy as np
import pytest

from geoflow_viewer.generation import generate
from geoflow_viewer.items import Item, Rung
from geoflow_viewer.line import MOST_PASSED, Line, in_words
from geoflow_viewer.session import Session
from geoflow_viewer.shelf import Shelf
from geoflow_viewer.state import State
from geoflow_viewer.worker import Cancelled, Ticket


def in_threads(works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    return threads


def test_turns_come_in_order_and_places_are_told():
    line, done, told = Line(1), [], {}
    go = threading.Event()

    def work(name, rank):
        def act():
            with line.turn(Ticket(), rank, told.setdefault(name, []).append):
                if name == "first":
                    assert go.wait(30)
                done.append(name)

        return act

    threads = in_threads([work("first", 0), work("fine", 2), work("second", 0), work("third", 0)])
    go.set()
    for thread in threads:
        thread.join(30)
    assert done == ["first", "second", "third", "fine"]
    assert told["first"] == []
    assert told["third"][0] == 2
    assert told["third"][-1] == 0
    assert told["fine"][0] == 1


def test_fine_work_makes_way_for_coarse_work():
    """A visitor who asks for the finest forever keeps nobody waiting."""
    line, done, ticket = Line(1), [], Ticket()
    started, came = threading.Event(), threading.Event()

    def fine():
        with line.turn(ticket, 2):
            started.set()
            while not came.is_set():
                ticket.check()
                time.sleep(0.01)
            done.append("fine")

    def coarse():
        assert started.wait(30)
        with line.turn(Ticket(), 0):
            done.append("coarse")
            came.set()

    for thread in in_threads([fine, coarse]):
        thread.join(30)
    assert done == ["coarse", "fine"]


def test_who_was_passed_by_many_is_passed_and_stopped_no_more():
    """One who wants the finest has a share beside those who ask for coarse shapes for ever."""
    line, ended = Line(1), threading.Event()
    coarse, during, begun = [], [], threading.Event()

    def ask():
        begun.wait(30)
        while not ended.is_set():
            line.work(lambda: coarse.append(1), Ticket())

    def act(ticket):
        begun.set()
        while len(coarse) < MOST_PASSED:
            ticket.check()
            time.sleep(0.001)
        before = len(coarse)
        for _ in range(50):
            ticket.check()
            time.sleep(0.001)
        during.append(len(coarse) - before)

    def fine():
        # The first has begun as the others come, the second has not.
        for _ in range(2):
            ticket = Ticket()
            line.work(lambda ticket=ticket: act(ticket), ticket, 2)
        ended.set()

    for thread in in_threads([fine, *[ask] * 6]):
        thread.join(30)
        assert not thread.is_alive()
    # Others went before it, and then no more.
    assert len(coarse) >= MOST_PASSED
    assert during == [0, 0]


def test_work_that_has_waited_long_ends_though_all_places_hold_work_that_made_way():
    """Every rank at every place, and more behind them: threads are enough, and all ends."""
    line, done = Line(2), []

    def work(rank):
        ticket = Ticket()

        def act():
            for _ in range(5):
                ticket.check()
                time.sleep(0.001)
            done.append(rank)

        for _ in range(12):
            line.work(act, ticket, rank)

    threads = in_threads([lambda rank=rank: work(rank) for rank in (2, 1, 0) * 5])
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert sorted(done) == sorted([0, 1, 2] * 60)


def test_work_is_done_on_few_threads_whoever_waits_for_it():
    """What computes keeps memory for every thread that ever computed."""
    line, hands = Line(2), []

    def note():
        hands.append(threading.current_thread().name)

    works = [lambda rank=rank: line.work(note, Ticket(), rank) for rank in (0, 1, 2) * 8]
    for thread in in_threads(works):
        thread.join(30)
    assert len(hands) == 24
    assert all(name.startswith("geoflow hand") for name in hands)
    assert len(set(hands)) <= 2 * 3
    # The main thread is one for good.
    line.work(note, Ticket())
    assert hands[-1] == threading.current_thread().name


def test_work_that_made_way_leaves_threads_to_the_others():
    """As many as can be at once: each rank fills the places, and makes way for the next."""
    line, done = Line(2), []
    came = [threading.Barrier(3) for _ in range(3)]
    ended = [threading.Event() for _ in range(4)]
    ended[-1].set()

    def work(rank):
        ticket = Ticket()

        def act():
            came[rank].wait(30)
            while not ended[rank + 1].is_set():
                ticket.check()
                time.sleep(0.01)
            done.append(rank)

        line.work(act, ticket, 2 - rank)

    threads = []
    for rank in range(3):
        threads += in_threads([lambda rank=rank: work(rank)] * 2)
        came[rank].wait(30)
    for rank in (2, 1, 0):
        for thread in threads[2 * rank : 2 * rank + 2]:
            thread.join(30)
            assert not thread.is_alive()
        ended[rank].set()
    assert done == [2, 2, 1, 1, 0, 0]


def test_what_is_raised_in_a_turn_comes_out_of_it():
    line, raised = Line(1), []

    def fail():
        try:
            line.work(lambda: 1 / 0, Ticket())
        except ZeroDivisionError as error:
            raised.append(error)

    for thread in in_threads([fail, fail]):
        thread.join(30)
    assert len(raised) == 2


def test_who_leaves_waits_no_longer():
    line, ticket, ended = Line(1), Ticket(), threading.Event()

    def wait():
        with pytest.raises(Cancelled), line.turn(ticket):
            pass
        ended.set()

    with line.turn(Ticket()):
        (thread,) = in_threads([wait])
        ticket.withdraw()
        assert ended.wait(30)
        thread.join(30)


@pytest.mark.slow
def test_twenty_visitors_each_see_something_before_anybody_sees_the_finest(models):
    """Counts, not seconds: in the order of what is made."""
    made, lock = [], threading.Lock()
    rungs = (Rung(16, 64), Rung(24, 128), Rung(32, 256))
    sessions = []
    for visitor in range(20):
        session = Session(
            models, State(model="tiny", seed=visitor), rest=0.0, rungs=rungs,
        )  # fmt: skip

        def hear(session=session, visitor=visitor):
            if session.result is not None:
                with lock:
                    made.append((visitor, session.result.rung))

        session.subscribe(hear)
        sessions.append(session)
    for session in sessions:
        session.start()
    assert all(session.wait(120) for session in sessions)
    firsts = [min(made.index(each) for each in made if each[0] == v) for v in range(20)]
    finest = [made.index(each) for each in made if each[1] == rungs[-1]]
    assert max(firsts) < min(finest) + 3
    assert all(session.place == 0 for session in sessions)
    assert all(session.close() for session in sessions)


def test_shapes_are_shared_between_visitors_and_old_ones_leave(models, generator, monkeypatch):
    state, rung = State(model="tiny", seed=5), Rung(16, 64)
    (first,) = generate(state, models, {}, Ticket(), rungs=(rung,))
    monkeypatch.setattr(type(generator), "decode", lambda *a, **o: pytest.fail("made again"))
    (again,) = generate(state, models, {}, Ticket(), rungs=(rung,))
    assert again.items[0].mesh is first.items[0].mesh
    shelf = Shelf(most_bytes=1000)
    for seed in range(100):
        cloud = np.zeros((10, 3), np.float32)
        shelf.put(State(seed=seed), rung, Item("a", State(seed=seed), cloud=cloud))
    kept = [seed for seed in range(100) if shelf.get(State(seed=seed), rung) is not None]
    assert kept == list(range(92, 100))


def test_places_in_words():
    words = ("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th")
    assert [in_words(int(word[:-2])) for word in words] == [f"{word} in line" for word in words]
