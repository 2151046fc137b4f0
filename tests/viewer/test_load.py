"""Twenty visitors on loopback, and one who asks for the finest shapes for ever.

In half the resolution; GEOFLOW_LOAD=whole asks for what visitors get.
"""

import gc
import json
import os
import resource
import socket
import time
from pathlib import Path

import pytest

from geoflow_viewer.browser import Browser
from geoflow_viewer.items import RUNGS, Rung
from geoflow_viewer.line import MOST_PASSED
from geoflow_viewer.models import Models
from geoflow_viewer.state import State

pytest.importorskip("viser", reason="needs the extra geoflow[viewer]")
VISITORS, REQUESTS = 20, 200
IS_WHOLE = os.environ.get("GEOFLOW_LOAD") == "whole"
LADDER = RUNGS if IS_WHOLE else tuple(Rung(r.resolution // 2, r.points // 4) for r in RUNGS)
PATIENCE = 1_500
# Of the finest shapes, while twenty others wait for their first: one is under way as they come.
MOST_BETWEEN = 2
# And while the others' requests are served: each of three rungs waits for so many of them at most.
FEWEST_BESIDE = REQUESTS // (3 * MOST_PASSED) // 2
GROWTH = 1.2


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def memory():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def await_all(visitors, holds):
    end = time.monotonic() + PATIENCE
    while not all(map(holds, visitors)):
        assert time.monotonic() < end, [visitor.seen for visitor in visitors]
        time.sleep(0.02)


@pytest.mark.screen
def test_twenty_visitors_are_served_beside_one_who_wants_all_and_memory_comes_back(capsys):
    from visitor import Visitor

    told = {}
    with Browser(Models(), State(), port=free_port(), rest=0.0, rungs=LADDER) as face:
        hog = Visitor(face.url, State(seed=1_000))
        await_all([hog], lambda each: each.seen >= 1)
        (greedy,) = face.sessions
        finest = []

        def go_on():
            result = greedy.result
            if result is not None and result.rung == LADDER[-1] and not greedy.is_busy:
                finest.append(result.state.seed)
                greedy.change(seed=1_001 + len(finest))

        greedy.subscribe(go_on)
        await_all([hog], lambda each: len(finest) >= 1)
        start, before, cpu, clock = memory(), len(finest), time.process_time(), time.monotonic()
        visitors = [Visitor(face.url, State(seed=i)) for i in range(VISITORS)]
        await_all(visitors, lambda each: each.seen >= 1)
        told |= {"seconds": time.monotonic() - clock, "cpu_seconds": time.process_time() - cpu,
                 "finest_between": len(finest) - before}  # fmt: skip
        assert len(finest) - before <= MOST_BETWEEN
        # Requests from here on: whoever moves the seed is shown something of it.
        clock, before = time.monotonic(), len(finest)
        for wave in range(REQUESTS // VISITORS):
            counts = [visitor.seen for visitor in visitors]
            for i, visitor in enumerate(visitors):
                visitor.ask(seed=10_000 + VISITORS * wave + i)
            for visitor, count in zip(visitors, counts, strict=True):
                await_all([visitor], lambda each, count=count: each.seen > count)
        told |= {"seconds_of_requests": time.monotonic() - clock,
                 "finest_beside": len(finest) - before}  # fmt: skip
        assert len(finest) - before >= FEWEST_BESIDE
        told["memory_most"] = memory()
        for visitor in [*visitors, hog]:
            visitor.leave()
        end = time.monotonic() + 60
        while (face.sessions or memory() >= GROWTH * start) and time.monotonic() < end:
            time.sleep(0.5)
        assert face.sessions == []
        told |= {"memory_start": start, "memory_end": memory()}
    with capsys.disabled():
        print(json.dumps({name: round(value, 1) for name, value in told.items()}))  # noqa: T201
    assert told["memory_end"] < GROWTH * told["memory_start"]
