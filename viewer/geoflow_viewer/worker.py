"""One background thread on which the newest request wins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """A newer request has taken the place of this one."""


class Ticket:
    """A request's right to go on."""

    def __init__(self) -> None:
        self._withdrawn = threading.Event()
        self.make_way: Callable[[], None] | None = None
        """Called between chunks of work, while the right stands; it may wait for others' work."""

    @property
    def is_valid(self) -> bool:
        """Whether the right still stands."""
        return not self._withdrawn.is_set()

    def withdraw(self) -> None:
        """End the right; a resting request wakes."""
        self._withdrawn.set()

    def check(self) -> None:
        """Make way if there is reason to; raise Cancelled once the right has ended."""
        if self.is_valid and self.make_way is not None:
            self.make_way()
        if not self.is_valid:
            raise Cancelled

    def rest(self, seconds: float) -> None:
        """Sleep; raise Cancelled at once when the right ends."""
        if self._withdrawn.wait(seconds):
            raise Cancelled


@dataclass(frozen=True)
class Request(Generic[T]):
    """Work in stages, and who hears of them; all are called on the worker's thread."""

    stages: Callable[[Ticket], Iterator[T]]
    deliver: Callable[[T], None]
    fail: Callable[[Exception], None]
    finish: Callable[[], None]


class Worker(Generic[T]):
    """Makes requests one after another; a submitted one ends the one in progress.

    Nothing of a withdrawn request is delivered after `submit` has returned. A patient request lets
    the first stage of the one in progress be delivered: without that, a drag whose events come
    faster than stages are made would show nothing before its end.

    Args:
        lock: held while a request's functions are told of something, and never while it is
            made; who is told may submit.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._changed = threading.Condition(lock)
        self._next: tuple[Ticket, Request[T]] | None = None
        self._current: Ticket | None = None
        self._has_delivered = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="geoflow viewer", daemon=True)
        self._thread.start()

    def submit(self, request: Request[T], *, patient: bool = False) -> None:
        """Make this in place of all that waits, and of what is under way, at once or patiently."""
        with self._lock:
            if not patient or self._has_delivered:
                self.cancel()
            if self._closed:
                return
            self._next = (Ticket(), request)
            self._changed.notify_all()

    def cancel(self) -> None:
        """Withdraw whatever is under way."""
        with self._lock:
            self._next = None
            if self._current is not None:
                self._current.withdraw()

    def close(self, *, timeout: float = 10.0) -> bool:
        """Withdraw everything and end the thread; whether it ended in time."""
        with self._lock:
            self._closed = True
            self.cancel()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._current, self._has_delivered = None, False
                self._changed.wait_for(lambda: self._closed or self._next is not None)
                if self._next is None:
                    return
                (ticket, request), self._next = self._next, None
                self._current = ticket
            self._make(ticket, request)

    def _make(self, ticket: Ticket, request: Request[T]) -> None:
        try:
            for stage in request.stages(ticket):
                with self._lock:
                    ticket.check()
                    self._has_delivered = True
                    request.deliver(stage)
                    if self._next is not None:
                        raise Cancelled
        except Cancelled:
            return
        except Exception as error:
            # Whatever goes wrong is the screen's to say; the thread lives on.
            with self._lock:
                if ticket.is_valid and self._next is None:
                    request.fail(error)
            return
        with self._lock:
            if ticket.is_valid and self._next is None:
                request.finish()
