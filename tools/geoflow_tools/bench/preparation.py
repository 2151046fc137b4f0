"""What `geoflow data prepare` costs: a mesh in its process, the process that runs it, engines.

A random part of a folder is prepared with each number of workers in turn. Seconds of a mesh are
processor time of its own process, and tell nothing of what else the machine does; rates are wall
time from the first result on, without what it takes to start.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geoflow_datasets.files import files_in
from geoflow_datasets.mesh_folder import MESHES
from geoflow_datasets.prepared.engines import ENGINES, Crew
from geoflow_datasets.prepared.limited import Limits, Refusal
from geoflow_datasets.prepared.makers import Job, Made, make
from geoflow_datasets.prepared.prepare import Options, prepare

Results = list[tuple[Job, Made | Refusal]]


@dataclass(frozen=True)
class PreparationBenchmark:
    """Prepare some meshes of a folder, and say what a mesh costs and how workers add up."""

    source: Path
    """Folder of meshes."""
    num: int = 64
    """Meshes, drawn at random."""
    engines: tuple[str, ...] = ("processes",)
    """Of `geoflow data prepare --engine`."""
    address: str | None = None
    """Of the Ray cluster. Default: two nodes of one core, started here."""
    workers: tuple[int, ...] = (1, 2)
    """Meshes at once, by turns."""
    seconds: float = 120.0
    """Longest time for one mesh."""
    wait: float | None = None
    """Wait so many seconds in place of making a shape: what engines cost on a machine that has
    other work."""
    seed: int = 0
    """Of what is drawn."""
    out: Path | None = None
    """JSON file to write; `bench queue` reads it."""

    def measure(self) -> dict[str, Any]:
        """Seconds of each mesh, rates of engines, and seconds of the process that runs them."""
        options = Options(limits=Limits(seconds=self.seconds))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _draw(self.source, folder / "source", self.num, np.random.default_rng(self.seed))
            runs, watch = {}, _Watch()
            for engine in self.engines:
                with _address(engine, self.address) as address:
                    for workers in self.workers:
                        crew = Crew(options.limits, workers, address)
                        watch = _Watch(ENGINES[engine](_Work(self.wait), crew))
                        out = folder / f"{engine}-{workers}"
                        prepare(folder / "source", out, options, engine=watch)
                        runs[f"{engine}, {workers}"] = watch.meshes_per_second()
            replayed = _Replay(watch.made)
            start = time.process_time()
            summary = prepare(folder / "source", folder / "replay", options, engine=replayed)
            giver = (time.process_time() - start) / len(watch.made)
            content = [len(job.content) for job, _ in watch.made]
        return {
            "options": asdict(self) | {"source": self.source.name, "out": None},
            "meshes_per_second": runs,
            "seconds": sorted(watch.seconds),
            "quantiles": {q: float(np.quantile(watch.seconds, q)) for q in (0.5, 0.9, 0.99, 1.0)},
            "mean_seconds": float(np.mean(watch.seconds)),
            "refused": summary.refused,
            "giver_seconds": giver,
            "source_bytes": float(np.mean(content)),
            "shard_bytes": _row_bytes(watch.made),
        }


@dataclass(frozen=True)
class _Work:
    """A shape, and the processor time that it took; or a wait."""

    wait: float | None

    def __call__(self, job: Job) -> tuple[Made, float]:
        if self.wait is not None:
            time.sleep(self.wait)
            return Made({"refused": "it was waited for"}), self.wait
        start = time.process_time()
        return make(job), time.process_time() - start


@dataclass
class _Watch:
    """An engine whose results are timed."""

    engine: Any = None
    made: Results = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __call__(self, jobs: Iterable[Job], /) -> Iterator[Results]:
        for done in self.engine(_smallest_first(jobs)):
            plain: Results = []
            for job, result in done:
                if not isinstance(result, Refusal):
                    result, seconds = result
                    self.seconds.append(seconds)
                plain.append((job, result))
                self.times.append(time.perf_counter())
            self.made += plain
            yield plain

    def meshes_per_second(self) -> float:
        """From the first result on, which leaves out how long the engine takes to start."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


def _smallest_first(jobs: Iterable[Job]) -> list[Job]:
    """The smallest file before the others, for the work of the first result is not counted."""
    every = list(jobs)
    first = min(range(len(every)), key=lambda place: len(every[place].content), default=0)
    return [*every[first : first + 1], *every[:first], *every[first + 1 :]]


@dataclass(frozen=True)
class _Replay:
    """An engine that has the results already: what is left is the giver's own work."""

    made: Results

    def __call__(self, jobs: Iterable[Job], /) -> Iterator[Results]:
        results = {job.key: result for job, result in self.made}
        for job in jobs:
            yield [(job, results[job.key])]


@contextmanager
def _address(engine: str, address: str | None) -> Iterator[str | None]:
    """Where an engine's machines are; a cluster that none is given for is started."""
    if engine != "ray" or address is not None:
        yield address
        return
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def _draw(source: Path, folder: Path, num: int, rng: np.random.Generator) -> None:
    found = [path for path in files_in(source) if path.suffix.lower() in MESHES.suffixes]
    for i in rng.permutation(len(found))[:num]:
        path = folder / found[i].relative_to(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found[i], path)


def _row_bytes(made: Results) -> int:
    """Bytes of a shape in the shards."""
    shapes = (m.arrays for _, m in made if isinstance(m, Made) and m.arrays is not None)
    return next((sum(array.nbytes for array in arrays.values()) for arrays in shapes), 0)
