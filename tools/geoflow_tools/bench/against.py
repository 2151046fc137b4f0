"""Samples of this checkout against those of a git revision: the same shapes, in what time.

Both are measured in processes of their own that take turns, so that a slow spell of the machine
meets both; what counts is the median of the ratios of neighbours. Times are of the processor, over
all threads, so that the other users of a machine do not count; `--num` alone is of the wall clock.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_HERE = Path(__file__).parents[3]
# Rooms of the checkout; a revision may lack some of them.
_ROOMS = (".", "datasets", "tools", "viewer")
# Beside the vertices of a mesh of a name.
_FACES = "/faces"
# Speaks the public words that every revision has; prints a line of JSON.
_PROBE = """
import json, sys, time
import numpy as np
from geoflow import Generator, PointGenerator
asked = json.loads(sys.argv[1])
seconds, shapes, queries = {}, {}, {}
def timed(name, call):
    start = time.process_time()
    made = call()
    seconds[name] = time.process_time() - start
    return made[0]
model = Generator.from_pretrained(asked["model"])
model.sample(steps=1, resolution=32)
for size in asked["resolutions"]:
    name = f"mesh {size}"
    mesh = timed(name, lambda: model.sample(steps=2, seed=asked["seed"], resolution=size))
    shapes[name], queries[name] = mesh.vertices, int(mesh.metadata["field_queries"])
    shapes[name + "/faces"] = mesh.faces
if asked["points"]:
    clouds = PointGenerator.from_pretrained(asked["clouds"])
    clouds.sample(points=256, steps=1)
    name = "cloud"
    draw = lambda: clouds.sample(points=asked["points"], steps=1, seed=asked["seed"])
    shapes[name] = timed(name, draw).vertices
np.savez(asked["out"], **shapes)
print(json.dumps({"seconds": seconds, "queries": queries}))
"""


@dataclass(frozen=True)
class Against:
    """What is asked of both."""

    revision: str
    """Git revision of the other."""
    model: str = "chair"
    """Shipped model of meshes."""
    clouds: str = "airplane"
    """Shipped model of clouds."""
    resolutions: tuple[int, ...] = (128,)
    """Cells of the extraction grid along an edge."""
    points: int = 1_000_000
    """Points of the cloud; 0: none."""
    num: int = 8
    """Meshes of one process that may use all cores; 0: none."""
    repeats: int = 3
    """Pairs of processes."""

    def measure(self) -> dict[str, object]:
        """Medians of both, medians of their ratios, and how far the shapes are apart."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            there = folder / "there"
            check_out(self.revision, there)
            sides = {"here": _HERE, "there": there}
            rounds: list[dict[str, dict[str, float]]] = []
            for i in range(self.repeats):
                # The order turns, too.
                order = list(sides)[:: 1 if i % 2 else -1]
                found = {side: self._once(sides[side], folder / side, seed=i) for side in order}
                rounds.append(found)
            moved = apart(folder / "here.npz", folder / "there.npz")
        return {"revision": self.revision, **ratios(rounds), "apart": moved}

    def _once(self, root: Path, out: Path, *, seed: int) -> dict[str, float]:
        """Seconds of everything that is asked for, and the queries of meshes."""
        asked = {
            "model": self.model,
            "clouds": self.clouds,
            "resolutions": self.resolutions,
            "points": self.points,
            "seed": seed,
            "out": str(out.with_suffix(".npz")),
        }
        told = json.loads(_run(root, "-c", _PROBE, json.dumps(asked)))
        command = ["-m", "geoflow", "sample", "--model", self.model, "--seed", str(seed)]
        command += ["--out", str(out.with_suffix(".obj"))]
        before = _children()
        _run(root, *command)
        seconds: dict[str, float] = told["seconds"] | {"process": _children() - before}
        if self.num:
            start = time.perf_counter()
            _run(root, *command, "--num", str(self.num))
            seconds[f"process, --num {self.num}, wall clock"] = time.perf_counter() - start
        return seconds | {f"queries, {name}": n for name, n in told["queries"].items()}


def check_out(revision: str, folder: Path) -> None:
    """The files of a revision of this repository.

    Raises:
        ValueError: if there is no such revision.
    """
    folder.mkdir()
    made = subprocess.run(
        ["git", "-C", str(_HERE), "archive", revision], capture_output=True, check=False
    )
    if made.returncode:
        raise ValueError(f"no revision {revision!r}: {made.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=made.stdout, check=True)


def ratios(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Medians of both sides, and of there over here by rounds."""
    names = [name for name in rounds[0]["here"] if name in rounds[0]["there"]]
    median = statistics.median
    return {
        side: {name: median([found[side][name] for found in rounds]) for name in names}
        for side in ("here", "there")
    } | {
        "there / here": {
            name: median([found["there"][name] / found["here"][name] for found in rounds])
            for name in names
        }
    }


def apart(here: Path, there: Path) -> dict[str, dict[str, float] | None]:
    """How far the last shapes of both are apart; None where they have not as many vertices.

    A vertex on an edge that lies almost in the surface slides along it by much for the rounding of
    a distance; so meshes are also compared as surfaces.
    """
    with np.load(here) as files, np.load(there) as others:
        a, b = dict(files), dict(others)
    found: dict[str, dict[str, float] | None] = {}
    for name in (name for name in a if not name.endswith(_FACES)):
        if a[name].shape != b[name].shape:
            found[name] = None
            continue
        moves = np.linalg.norm(a[name] - b[name], axis=1)
        row = {
            "largest move of a vertex": float(moves.max()),
            "share of vertices moved by more than 1e-4": float((moves > 1e-4).mean()),
        }
        if name + _FACES in a:
            row["largest distance to the other's surface"] = max(
                _off(a[name], b[name], b[name + _FACES]), _off(b[name], a[name], a[name + _FACES])
            )
        found[name] = row
    return found


def _off(places: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> float:
    """Largest distance of places to a surface."""
    import point_cloud_utils as pcu

    corners = np.ascontiguousarray(vertices, dtype=np.float64)
    asked = np.ascontiguousarray(places, dtype=np.float64)
    return float(np.asarray(pcu.closest_points_on_mesh(asked, corners, faces)[0]).max())


def _run(root: Path, *arguments: str) -> str:
    rooms = os.pathsep.join(str(root / room) for room in _ROOMS)
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=os.environ | {"PYTHONPATH": rooms},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ).stdout


def _children() -> float:
    """Processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
