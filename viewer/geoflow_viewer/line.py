"""Visitors stand in line for the processor: coarse shapes before fine ones, in their order.

Without it twenty visitors' work runs at once, and nobody sees anything for minutes.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from geoflow_viewer.worker import Cancelled, Ticket

T = TypeVar("T")

# Seconds between looks whether the one who waits has left.
_LOOK = 0.2
_RANKS = 3
MOST_PASSED = 20
"""Later ones that may go before one who waits: as many as the visitors of a full page."""


@dataclass(eq=False)
class _Turn:
    """Somebody's turn, and how many that came later had theirs before."""

    rank: int
    number: int
    passed: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """By which turns are sorted."""
        return 0 if self.passed >= MOST_PASSED else self.rank, self.number


class Line:
    """A line before `places` of work; who works makes way for coarser work when it looks.

    Who was passed by `MOST_PASSED` later ones is passed and stopped no more, so that fine shapes
    are made as well while many ask for coarse ones without an end.

    Work is done on few threads, whoever waits for it: what computes keeps memory for every thread
    that ever computed (allocators' arenas, products prepared for shapes of arrays), some 50 MB.

    Args:
        places: pieces of work at once.
    """

    def __init__(self, places: int = 2) -> None:
        self._places = places
        self._changed = threading.Condition()
        self._working: set[_Turn] = set()
        self._waiting: set[_Turn] = set()
        self._numbers = itertools.count()
        # Work that made way keeps its thread; of each rank at most `places` are begun and not done,
        # since who made way comes before all later work of its rank.
        self._hands = ThreadPoolExecutor(places * _RANKS, "geoflow hand")

    def work(
        self,
        function: Callable[[], T],
        ticket: Ticket,
        rank: int = 0,
        tell: Callable[[int], None] = lambda place: None,
    ) -> T:
        """What a function gives, called in its turn on a thread of the line's.

        On the main thread it is called there: that is one for good, and can be interrupted.

        Args:
            function: raises what is raised here.
            ticket: as for `turn`.
            rank: 0, 1 or 2; lower ones come first.
            tell: as for `turn`.

        Raises:
            Cancelled: once the ticket has ended.
        """
        with self.turn(ticket, rank, tell):
            if threading.current_thread() is threading.main_thread():
                return function()
            return self._hands.submit(function).result()

    @contextmanager
    def turn(
        self, ticket: Ticket, rank: int = 0, tell: Callable[[int], None] = lambda place: None
    ) -> Iterator[None]:
        """Wait for a turn, and have it; between chunks of work the ticket makes way for others.

        Args:
            ticket: ends the waiting.
            rank: lower ones come first.
            tell: is told the place in line whenever it changes, 1 for the next, 0 for a turn.

        Raises:
            Cancelled: once the ticket has ended.
        """
        me = _Turn(rank, next(self._numbers))
        self._enter(me, ticket, tell)
        ticket.make_way = lambda: self._make_way(me, ticket, tell)
        try:
            yield
        finally:
            ticket.make_way = None
            with self._changed:
                self._working.discard(me)
                self._waiting.discard(me)
                self._changed.notify_all()

    def _enter(self, me: _Turn, ticket: Ticket, tell: Callable[[int], None]) -> None:
        told = 0
        with self._changed:
            self._waiting.add(me)
        while True:
            with self._changed:
                place = sum(other.place <= me.place for other in self._waiting)
                if place <= self._places - len(self._working):
                    self._begin(me)
                    break
            if not ticket.is_valid:
                with self._changed:
                    self._waiting.discard(me)
                    self._changed.notify_all()
                raise Cancelled
            if place != told:
                # Outside the lock: who is told may have to wait for others.
                tell(told := place)
            with self._changed:
                self._changed.wait(_LOOK)
        if told:
            tell(0)

    def _begin(self, me: _Turn) -> None:
        self._waiting.discard(me)
        self._working.add(me)
        for other in self._waiting:
            other.passed += other.number < me.number

    def _make_way(self, me: _Turn, ticket: Ticket, tell: Callable[[int], None]) -> None:
        with self._changed:
            free = self._places - len(self._working)
            if free > 0 or not any(other.place[0] < me.place[0] for other in self._waiting):
                return
            if me is not max(self._working, key=lambda turn: turn.place):
                # One makes way, the finest of those at work.
                return
            self._working.discard(me)
            self._waiting.add(me)
            self._changed.notify_all()
        self._enter(me, ticket, tell)


def in_words(place: int) -> str:
    """'1st in line', '2nd in line' and on."""
    tens, ones = place % 100, place % 10
    ending = "th" if 10 <= tens <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(ones, "th")
    return f"{place}{ending} in line"
