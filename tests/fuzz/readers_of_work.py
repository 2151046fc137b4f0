"""What evaluations and pages keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fuzz.reader import Reader, finite

from geoflow_tools.evaluation import distances
from geoflow_tools.evaluation.point_set import PointSet
from geoflow_tools.evaluation.work_folder import open_work_folder
from geoflow_viewer.state import State, from_json, to_json


def a_point_set() -> Reader:
    points, passed = np.random.default_rng(0).random((3, 4, 3)), np.ones((3, 3), bool)
    return Reader(
        lambda folder: PointSet(points, passed, ("a: empty",)).save(folder / "a.npz"),
        lambda folder: finite(PointSet.load(folder / "a.npz").points),
    )


def distance_blocks() -> Reader:
    sets = np.random.default_rng(0).random((2, 3, 4, 3))

    def read(folder: Path) -> None:
        for matrix in distances.assemble(folder, "chamfer", 3, 3)["chamfer"].values():
            finite(matrix)

    return Reader(lambda f: list(distances.fill(f, "chamfer", *sets, workers=1)) and None, read)


def options() -> Reader:
    given = {"geoflow": "1", "num": 3, "content": {"samples": "a"}}

    def read(folder: Path) -> None:
        open_work_folder(folder / "parts", given)

    return Reader(lambda folder: (folder / "parts").mkdir() or read(folder), read)


def what_a_page_keeps() -> Reader:
    def read(folder: Path) -> None:
        from_json((folder / "state.json").read_text(errors="replace"))

    return Reader(
        lambda folder: (folder / "state.json").write_text(to_json(State())) and None, read
    )


OF_WORK = {
    "point set": a_point_set,
    "distances": distance_blocks,
    "options": options,
    "page": what_a_page_keeps,
}
