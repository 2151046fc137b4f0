"""The queue of a preparation, simulated: stragglers, crashes, lost workers, one giver.

One process reads files, gives them out, and writes what comes back; it does one thing at a time.
Each core has one job and the next one at hand, as the engines have it, so that it waits only where
the giver is behind. A lost worker's job is done again, up to three times, after a pause.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoflow_datasets.prepared.engines.on_ray import RETRIES


@dataclass(frozen=True)
class Load:
    """The jobs."""

    seconds: tuple[float, ...]
    """Processor seconds of a job, drawn from these."""
    giver: float
    """Seconds that the giver has for a job: reading, hashing, sending, writing."""
    hanging: float = 0.0
    """Share of jobs that take as long as they may."""
    limit: float = 120.0
    """Seconds that a job may take."""


@dataclass(frozen=True)
class Cores:
    """Who does them."""

    num: int
    lost_per_hour: float = 0.0
    """Losses of one core."""
    pause: float = 60.0
    """Seconds until a lost one, or another for it, works again."""


@dataclass(frozen=True)
class Result:
    """What a simulated run came to, in seconds."""

    seconds: float
    """Until all is done."""
    work: float
    """Of all cores, what is done again included."""
    giver: float
    """Of the giver."""
    bound: float
    """No order of the jobs takes less: cores, giver and the longest job."""
    again: int
    """Jobs done again."""
    given_up: int
    """Jobs whose worker was lost each time."""


def simulate(load: Load, cores: Cores, num: int, rng: np.random.Generator) -> Result:
    """Do `num` jobs in the order of the files, each by the core that is free first."""
    drawn = np.minimum(rng.choice(np.asarray(load.seconds), num), load.limit)
    drawn[rng.random(num) < load.hanging] = load.limit
    work, total, again, given_up = drawn.copy(), drawn.copy(), 0, 0
    rate = cores.lost_per_hour / 3600
    left = np.arange(num) if rate else np.arange(0)
    for attempt in range(RETRIES + 1):
        lost_after = rng.exponential(1 / rate, len(left)) if rate else np.zeros(0)
        is_lost = lost_after < drawn[left]
        left, spent = left[is_lost], lost_after[is_lost]
        is_last = attempt == RETRIES
        # Lost work, the pause, and, but for the last time, the job once more.
        for times, pause in ((work, 0.0), (total, cores.pause)):
            times[left] += spent + pause - (drawn[left] if is_last else 0.0)
        again += 0 if is_last else len(left)
        given_up += len(left) if is_last else 0
    end, giver = _end(total, cores.num, load.giver), num * load.giver
    bound = max(total.sum() / cores.num, giver, total.max(initial=0.0))
    return Result(end, float(work.sum()), giver, float(bound), again, given_up)


def _end(seconds: np.ndarray, num: int, giver: float) -> float:
    """When the last job ends."""
    times = iter(seconds.tolist())
    busy, given, end = list[tuple[float, int]](), 0.0, 0.0
    for core, job in zip(range(num), times, strict=False):
        given += giver
        heapq.heappush(busy, (given + job, core))
    # When each core's next job is at hand.
    ready = [given + giver * (core + 1) for core in range(num)]
    given = ready[-1]
    while busy:
        free, core = heapq.heappop(busy)
        end = max(end, free)
        job = next(times, None)
        if job is not None:
            heapq.heappush(busy, (max(free, ready[core]) + job, core))
            given = max(given, free) + giver
            ready[core] = given
    return end


@dataclass(frozen=True)
class QueueBenchmark:
    """Simulate the queue of `geoflow data prepare` on clusters of several sizes."""

    measured: Path
    """What `bench preparation --out` wrote: seconds of meshes, and of the giver."""
    num: int = 50_000
    """Meshes."""
    cores: tuple[int, ...] = (2, 16, 64, 256, 1024)
    """Cores of the clusters."""
    hanging: float = 0.001
    """Share of meshes that take as long as they may."""
    limit: float = 120.0
    """Seconds that a mesh may take."""
    lost_per_hour: float = 0.02
    """Losses of one core: machines that are taken back, reboots."""
    pause: float = 60.0
    """Seconds until a lost core works again."""
    seed: int = 0
    """Of what is drawn."""
    out: Path | None = None
    """JSON file to write."""

    def measure(self) -> dict[str, Any]:
        """Hours, and how busy cores and giver are, with failures and without any."""
        said = json.loads(self.measured.read_text(encoding="utf-8"))
        seconds, giver = tuple(said["seconds"]), said["giver_seconds"]
        rows = {}
        for num in self.cores:
            row = {}
            for name, load, cores in (
                ("even", Load(seconds, giver, 0.0, self.limit), Cores(num)),
                (
                    "failing",
                    Load(seconds, giver, self.hanging, self.limit),
                    Cores(num, self.lost_per_hour, self.pause),
                ),
            ):
                result = simulate(load, cores, self.num, np.random.default_rng(self.seed))
                row[name] = {
                    "hours": result.seconds / 3600,
                    "over_bound": result.seconds / result.bound,
                    "core_hours": result.work / 3600,
                    "cores_busy": result.work / (num * result.seconds),
                    "giver_busy": result.giver / result.seconds,
                    "again": result.again,
                    "given_up": result.given_up,
                }
            rows[num] = row
        return {"options": asdict(self) | {"measured": self.measured.name, "out": None},
                "cores": rows}  # fmt: skip
