"""Laws of the background thread: the newest request wins, and no failure ends it."""

import threading

import pytest

from geoflow_viewer.worker import Cancelled, Request, Ticket, Worker


@pytest.fixture
def worker():
    worker = Worker(threading.RLock())
    yield worker
    assert worker.close()


class Hearer:
    """Collects what a request's functions are told."""

    def __init__(self):
        self.heard, self.ended = [], threading.Event()

    def request(self, stages):
        return Request(
            stages,
            self.heard.append,
            lambda error: (self.heard.append(error), self.ended.set()),
            self.ended.set,
        )


def test_stages_are_delivered_in_order_off_the_caller_s_thread(worker):
    hearer = Hearer()

    def stages(ticket):
        yield threading.current_thread().name
        yield 2

    worker.submit(hearer.request(stages))
    assert hearer.ended.wait(10)
    assert hearer.heard == ["geoflow viewer", 2]


def test_a_newer_request_ends_one_in_progress_between_chunks(worker):
    old, new = Hearer(), Hearer()
    begun, chunks = threading.Event(), []

    def endless(ticket):
        while True:
            ticket.check()
            chunks.append(1)
            begun.set()
            ticket.rest(0.001)
        yield

    worker.submit(old.request(endless))
    assert begun.wait(10)
    worker.submit(new.request(lambda ticket: iter([7])))
    assert new.ended.wait(10)
    assert new.heard == [7]
    assert old.heard == []
    assert not old.ended.is_set()


def test_nothing_of_an_old_request_is_heard_after_a_newer_one_was_submitted(worker):
    """A stage that is ready when it is withdrawn is thrown away; not withdrawn, it is heard."""
    for withdrawn in (True, False):
        old, new = Hearer(), Hearer()
        begun, go = threading.Event(), threading.Event()

        def slow(ticket, begun=begun, go=go):
            begun.set()
            go.wait(10)
            yield "late"

        worker.submit(old.request(slow))
        assert begun.wait(10)
        if withdrawn:
            worker.submit(new.request(lambda ticket: iter(["new"])))
            go.set()
            assert new.ended.wait(10)
            assert (old.heard, new.heard) == ([], ["new"])
        else:
            go.set()
            assert old.ended.wait(10)
            assert old.heard == ["late"]


def test_a_patient_request_waits_for_one_stage_and_only_the_newest_is_made(worker):
    """Twin: an impatient one throws the stage away."""
    for patient, heard in ((True, ["first"]), (False, [])):
        old, middle, new = Hearer(), Hearer(), Hearer()
        begun, go = threading.Event(), threading.Event()

        def slow(ticket, begun=begun, go=go):
            begun.set()
            go.wait(10)
            yield "first"
            yield "second"

        worker.submit(old.request(slow))
        assert begun.wait(10)
        worker.submit(middle.request(lambda ticket: iter(["middle"])), patient=patient)
        worker.submit(new.request(lambda ticket: iter(["new"])), patient=patient)
        go.set()
        assert new.ended.wait(10)
        assert (old.heard, middle.heard, new.heard) == (heard, [], ["new"])
        assert not old.ended.is_set()


def test_patience_ends_with_the_first_stage_and_failures_on_the_way_are_not_told(worker):
    old, failed, new = Hearer(), Hearer(), Hearer()
    resting = threading.Event()

    def one_and_rest(ticket):
        yield 1
        resting.set()
        ticket.rest(600.0)
        yield 2

    worker.submit(old.request(one_and_rest))
    assert resting.wait(10)
    begun, go = threading.Event(), threading.Event()

    def failing(ticket):
        begun.set()
        go.wait(10)
        raise ZeroDivisionError
        yield

    worker.submit(failed.request(failing), patient=True)
    assert begun.wait(10)
    worker.submit(new.request(lambda ticket: iter([3])), patient=True)
    go.set()
    assert new.ended.wait(10)
    assert (old.heard, failed.heard, new.heard) == ([1], [], [3])


def test_a_failure_is_told_once_and_the_thread_lives_on(worker):
    bad, good = Hearer(), Hearer()

    def failing(ticket):
        yield 1
        raise ZeroDivisionError("no")

    worker.submit(bad.request(failing))
    assert bad.ended.wait(10)
    assert bad.heard[0] == 1
    assert isinstance(bad.heard[1], ZeroDivisionError)
    worker.submit(good.request(lambda ticket: iter([3])))
    assert good.ended.wait(10)
    assert good.heard == [3]


def test_a_ticket_holds_until_it_is_withdrawn():
    ticket = Ticket()
    ticket.check()
    ticket.rest(0.0)
    ticket.withdraw()
    with pytest.raises(Cancelled):
        ticket.check()
    with pytest.raises(Cancelled):
        ticket.rest(60.0)


def test_closing_wakes_a_resting_request():
    worker = Worker(threading.RLock())
    begun = threading.Event()

    def resting(ticket):
        begun.set()
        ticket.rest(600.0)
        yield

    worker.submit(Hearer().request(resting))
    assert begun.wait(10)
    assert worker.close(timeout=10)
