"""Damaged files of every kind that we read: one line, soon, in little memory, and never NaN.

Every reader meets files of which some part was cut, repeated, flipped or replaced: 30 a reader, or
as many as GEOFLOW_FUZZ says (nightly: GEOFLOW_FUZZ=3000 python -m pytest -n 0 tests/fuzz).
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from fuzz.mutations import MUTATORS, mutated_bytes
from tiny_models import tiny_models

from geoflow.atomic import DamagedError
from geoflow.geometry.mesh import SUFFIXES as MESHES
from geoflow.geometry.mesh import normalise_mesh, write_mesh
from geoflow.geometry.points import SUFFIXES as POINTS
from geoflow.geometry.points import write_points
from geoflow.geometry.read_mesh import read_mesh
from geoflow.geometry.read_points import read_points
from geoflow.models.checkpoint import save_checkpoint
from geoflow.models.kinds import KINDS, load
from geoflow.training.folder import load_stage, save_stage
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.run import Run, RunConfig
from geoflow.training.stage import Context
from geoflow.training.stages.latent_flow import FlowTraining, LatentFlowStage
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.figure_bank import FigureBank
from geoflow_datasets.folder import load_reports
from geoflow_datasets.mesh_folder import MESHES as MESH_FILES
from geoflow_tools.evaluation import distances
from geoflow_tools.evaluation.point_set import PointSet
from geoflow_tools.evaluation.work_folder import open_work_folder
from geoflow_viewer.state import State, from_json, to_json

COUNT = int(os.environ.get("GEOFLOW_FUZZ", "30"))
SECONDS, BYTES, LINE = 20, 2**30, 700
REFUSED = (DamagedError, ValueError, FloatingPointError, FileNotFoundError)


@dataclass(frozen=True)
class Reader:
    """Whole files of a kind, and what reads them; it raises FloatingPointError for what is not
    finite, and says nothing else of it."""

    write: Callable[[Path], None]
    read: Callable[[Path], None]


def damages(name: str, reader: Reader, folder: Path) -> list[str]:
    """What was not refused as it should be, of COUNT mutations."""
    whole, copy = folder / "whole", folder / "copy"
    whole.mkdir()
    reader.write(whole)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    contents = {file: (whole / file).read_bytes() for file in files}
    shutil.copytree(whole, copy)
    reader.read(copy)
    found = []
    for index in range(COUNT):
        rng = random.Random(f"{name} {index}")
        file = rng.choice(files)
        mutate = MUTATORS.get(file.suffix, mutated_bytes)
        (copy / file).write_bytes(mutate(contents[file], rng))
        said = refusal(lambda: reader.read(copy))
        if said:
            found.append(f"{name} {index} ({file}): {said}")
        (copy / file).write_bytes(contents[file])
    return found


def refusal(read: Callable[[], None]) -> str:
    """What is wrong with how a file is refused, or taken; nothing where it is right."""
    try:
        with limits():
            read()
    except REFUSED as error:
        said = str(error)
        if "\n" in said.strip() or not said or len(said) > LINE:
            return f"it is refused by more than a line, or none: {said[:200]!r}"
        if "memory" in said or "allocate" in said:
            return f"it was let to ask for memory: {said[:200]!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"[:300]
    return ""


class SlowError(BaseException):
    """A reader took too long."""


@contextmanager
def limits() -> Iterator[None]:
    """No more than SECONDS, and no more than BYTES beyond what the process has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, before[1]))

    def late(*_: object) -> None:
        raise SlowError(f"longer than {SECONDS} s")

    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def finite(values: np.ndarray | torch.Tensor) -> None:
    """Fail, as no reader may, for numbers that are not finite."""
    if not np.isfinite(np.asarray(values, dtype=float)).all():
        raise AssertionError("numbers that are not finite came out")


def of_model(kind: str) -> Reader:
    def read(folder: Path) -> None:
        for module in load(folder).modules().values():
            for tensor in module.state_dict().values():
                finite(tensor)

    return Reader(lambda folder: tiny_models()[kind].save_pretrained(folder), read)


def a_run() -> Reader:
    def config() -> RunConfig:
        types = {stage.name: stage.options_type() for stage in KINDS["sdf"].stage_classes()}
        return RunConfig(model=tiny_models()["sdf"].config, stages=types)

    return Reader(
        lambda folder: Run.create(folder / "run", config()) and None,
        lambda folder: Run.open(folder / "run") and None,
    )


def a_stage() -> Reader:
    model = tiny_models()["joints"]
    network = model.modules()["flow"]
    optimiser = Optimiser(network, Schedule())

    def write(folder: Path) -> None:
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(0, 10)
        save_stage(folder / "flow.safetensors", network, optimiser, 1)

    def read(folder: Path) -> None:
        load_stage(folder / "flow.safetensors", network, optimiser)
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(1, 10)
        for tensor in optimiser.state_tensors().values():
            finite(tensor)

    return Reader(write, read)


def latents() -> Reader:
    model = tiny_models()["sdf"]

    def write(folder: Path) -> None:
        tensors = {"tokens": torch.rand(6, 4, 7), "condition.category": torch.arange(6) % 2}
        save_checkpoint(folder / "latents.safetensors", tensors, {})

    def read(folder: Path) -> None:
        stage = LatentFlowStage(FlowTraining(batch=4), Context(model, None, folder))
        stage.prepare()
        finite(stage.batch(torch.Generator()).x1)

    return Reader(write, read)


def a_bank() -> Reader:
    def write(folder: Path) -> None:
        rng = np.random.default_rng(0)
        points = {name: rng.random((3, 8, 3)).astype(np.float16) for name in ("surface", "normals")}
        ShapeBank(
            **points, queries=points["surface"], sdf=points["surface"][..., 0],
            categories=np.array([0, 1, 1]), names=("a", "b", "c"), category_names=("x", "y"),
        ).save(folder / "bank")  # fmt: skip

    def read(folder: Path) -> None:
        bank = ShapeBank.load(folder / "bank")
        every = np.arange(len(bank))
        bank.batch(every, num_surface=4, num_queries=4, generator=torch.Generator())

    return Reader(write, read)


def figures() -> Reader:
    def write(folder: Path) -> None:
        surface, joints = np.random.default_rng(0).random((2, 8, 3)), [np.eye(3), np.eye(3)[:2]]
        bank = FigureBank.of(list(surface), joints, [[-1, 0, 1], [-1, 0]], ["a", "b"])
        bank.save(folder / "a.npz")

    def read(folder: Path) -> None:
        bank = FigureBank.load(folder / "a.npz")
        points, joints, _ = bank.batch(
            np.arange(len(bank)), num_points=4, generator=torch.Generator()
        )
        finite(points)
        finite(joints)

    return Reader(write, read)


def reports() -> Reader:
    entries = [asdict(MESH_FILES.report("a.obj", "x", method="winding", components=2)),
               asdict(MESH_FILES.report("b.obj", "x", refused="it is empty"))]  # fmt: skip
    return Reader(
        lambda folder: (folder / "report.json").write_text(json.dumps(entries)) and None,
        lambda folder: load_reports(MESH_FILES, folder) and None,
    )


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


def a_mesh(suffix: str) -> Reader:
    def write(folder: Path) -> None:
        mesh = trimesh.creation.icosphere(subdivisions=1)
        mesh.visual.vertex_colors = np.random.default_rng(0).integers(0, 255, (42, 4), np.uint8)
        write_mesh(mesh, folder / f"a{suffix}")

    def read(folder: Path) -> None:
        mesh = read_mesh(folder / f"a{suffix}")
        finite(normalise_mesh(mesh).vertices)
        finite(mesh.area)
        trimesh.sample.sample_surface(mesh, 8, seed=0)

    return Reader(write, read)


def a_cloud(suffix: str) -> Reader:
    points = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    return Reader(
        lambda folder: write_points([points], folder / f"a{suffix}", num=20),
        lambda folder: finite(read_points(folder / f"a{suffix}").points),
    )


READERS: dict[str, Callable[[], Reader]] = {
    **{f"model of {kind}": lambda kind=kind: of_model(kind) for kind in tiny_models()},
    "run": a_run,
    "stage": a_stage,
    "latents": latents,
    "bank": a_bank,
    "figures": figures,
    "reports": reports,
    "point set": a_point_set,
    "distances": distance_blocks,
    "options": options,
    "page": what_a_page_keeps,
    **{f"mesh {suffix}": lambda suffix=suffix: a_mesh(suffix) for suffix in MESHES},
    **{f"cloud {suffix}": lambda suffix=suffix: a_cloud(suffix) for suffix in POINTS},
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_in_a_line(tmp_path, name):
    found = damages(name, READERS[name](), tmp_path)
    assert not found, "\n".join([f"{len(found)} of {COUNT}:", *found[:10]])


def test_the_judge_sees_what_is_wrong():
    """Twins: a traceback, two lines, too much memory and too much time are found."""

    def lines() -> None:
        raise ValueError("one\ntwo")

    assert "KeyError" in refusal(lambda: {}["a"])
    assert "more than a line" in refusal(lines)
    assert "MemoryError" in refusal(lambda: bytearray(2 * BYTES))
    assert refusal(lambda: finite(np.array([np.nan])))
    assert not refusal(lambda: None)
