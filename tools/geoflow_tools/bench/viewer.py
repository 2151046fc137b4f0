"""How soon the viewer's session answers: moves of the steps slider, a drag between two seeds."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from geoflow import __version__
from geoflow_viewer.items import RUNGS, Result
from geoflow_viewer.models import Models
from geoflow_viewer.session import Session
from geoflow_viewer.state import MAX_STEPS, State

_PATIENCE = 120.0


@dataclass(frozen=True)
class ViewerBenchmark:
    """Time the answers of a session, as a face asks for them."""

    model: str = "chair"
    """Shipped model, or a folder."""
    seeds: int = 5
    """Seeds whose steps slider is moved from 1 to 8."""
    rungs: int = len(RUNGS)
    """Rungs of refinement after a move, from the coarsest on."""
    drag_seconds: float = 5.0
    """How long the slider between two seeds is dragged."""
    events_per_second: float = 30.0
    """How often a dragged slider tells its value."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def __post_init__(self) -> None:
        if self.seeds < 1 or not 1 <= self.rungs <= len(RUNGS):
            raise ValueError(
                f"expected seeds >= 1 and rungs from 1 to {len(RUNGS)}, got {self.seeds} and "
                f"{self.rungs}"
            )
        if self.drag_seconds * self.events_per_second < 1:
            raise ValueError("a drag needs one event at least: drag longer, or more often")

    def measure(self) -> dict[str, object]:
        """Seconds until shapes are delivered, by rung, and shapes per second of a drag."""
        moves = self._moves()
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "seconds_after_a_move": {
                detail: {"median": statistics.median(seconds), "slowest": max(seconds)}
                for detail, seconds in moves.items()
            },
            "drag": self._drag(),
        }

    def _moves(self) -> dict[str, list[float]]:
        """Seconds from each move to every rung's shape, the wait at rest left out."""
        found: dict[str, list[float]] = {}
        with self._session() as (session, seen):
            for seed, steps in itertools.product(range(self.seeds), range(1, MAX_STEPS + 1)):
                seen.clear()
                start = time.perf_counter()
                session.change(seed=seed, steps=steps)
                _wait(session)
                answers = {r.detail: at - start for at, r in seen if r.state == session.state}
                for detail, seconds in answers.items():
                    found.setdefault(detail, []).append(seconds)
        return found

    def _drag(self) -> dict[str, float]:
        """Shapes that are seen before the slider is let go, and the longest time between two."""
        with self._session() as (session, seen):
            session.change(to_seed=1)
            _wait(session)
            seen.clear()
            count = round(self.drag_seconds * self.events_per_second)
            start = time.perf_counter()
            for i in range(1, count + 1):
                session.change(blend=i / count)
                time.sleep(max(0.0, start + i / self.events_per_second - time.perf_counter()))
            end = time.perf_counter()
            _wait(session)
            on_the_way = [at for at, _ in seen if at <= end]
            last = next(at for at, result in seen if result.state == session.state)
            return {
                "events": count,
                "shapes": len(on_the_way),
                "shapes_per_second": len(on_the_way) / (end - start),
                "longest_gap": max(b - a for a, b in itertools.pairwise([start, *on_the_way, end])),
                "seconds_from_end_to_last_shape": max(0.0, last - end),
            }

    @contextmanager
    def _session(self) -> Iterator[tuple[Session, list[tuple[float, Result]]]]:
        """A session that has shown its first shape, and a list of when it shows what."""
        session = Session(
            Models([self.model]), State(model=self.model), rest=0.0, rungs=RUNGS[: self.rungs]
        )
        seen: list[tuple[float, Result]] = []

        def look() -> None:
            if session.result is not None and all(session.result is not r for _, r in seen):
                seen.append((time.perf_counter(), session.result))

        session.subscribe(look)
        session.start()
        try:
            _wait(session)
            yield session, seen
        finally:
            session.close()


def _wait(session: Session) -> None:
    if not session.wait(_PATIENCE) or session.error:
        reason = session.error or f"nothing in {_PATIENCE:.0f} s"
        raise RuntimeError(f"{session.state.model} shows nothing: {reason}")
