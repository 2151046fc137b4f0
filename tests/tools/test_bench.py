"""The benchmark measures what it says; its times are not asserted."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from geoflow.objectives import OBJECTIVES, SPECIAL_CASES
from geoflow.training.stages.distribution import DistributionTraining
from geoflow.training.stages.jumps import JumpTraining
from geoflow_tools.bench import against, ladder, memory
from geoflow_tools.bench.distribution import DistributionBenchmark
from geoflow_tools.bench.objectives import NUM_DATA, ObjectivesBenchmark
from geoflow_tools.bench.timing import median_seconds
from geoflow_tools.bench.toy_data import DATA, EXACT


def test_medians_take_turns_after_a_warm_up(monkeypatch):
    """On a clock that the calls themselves move; the warm-up is the longest, and does not count."""
    calls, clock = [], [0.0]
    monkeypatch.setattr("geoflow_tools.bench.timing.time.perf_counter", lambda: clock[0])
    lasting = {"a": iter([90.0, 1.0, 3.0, 2.0]), "b": iter([90.0, 5.0, 4.0, 60.0])}

    def call(name):
        calls.append(name)
        clock[0] += next(lasting[name])

    seconds = median_seconds({"a": lambda: call("a"), "b": lambda: call("b")}, repeats=3)
    assert "".join(calls) == "abababab"
    assert seconds == {"a": 2.0, "b": 5.0}
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        median_seconds({}, repeats=0)


@pytest.mark.slow
def test_sample_benchmark_reports_ratios_and_queries(tmp_path):
    out = tmp_path / "report.json"
    command = [sys.executable, "-W", "ignore", "-m", "geoflow_tools.bench", "sample"]
    command += ["--resolution", "64", "--repeats", "1", "--batch", "4", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    report = json.loads(out.read_text())
    queries = report["field_queries"]
    assert queries["dense"] == 65**3
    assert 0 < queries["hierarchical"] < 0.5 * queries["dense"]
    assert report["ratios"]["dense / hierarchical"] > 0
    assert report["ratios"]["cumulative, average / flow matching"] > 0
    assert report["median_seconds"]["process"] > report["median_seconds"]["network"]


def test_two_revisions_are_compared_by_the_median_of_neighbours():
    """A slow spell in one round, which meets both, changes no ratio."""
    rounds = [
        {"here": {"mesh": 1.0 * slow, "new": 1.0}, "there": {"mesh": 3.0 * slow}}
        for slow in (1.0, 50.0, 2.0)
    ]
    found = against.ratios(rounds)
    assert found["there / here"] == {"mesh": 3.0}
    assert found["here"] == {"mesh": 2.0}
    assert found["there"] == {"mesh": 6.0}


def test_meshes_of_two_revisions_are_compared_as_surfaces(tmp_path):
    """A vertex that slides in its plane moves, and stays on the other's surface."""
    plane = trimesh.creation.box().subdivide()
    (slid,) = np.flatnonzero(np.all(np.abs(plane.vertices - [0.5, 0.0, 0.0]) < 1e-6, axis=1))
    moved = plane.vertices.copy()
    moved[slid] += [0.0, 0.01, 0.0]
    cloud = np.zeros((5, 3))
    files = {"here": plane.vertices, "there": moved}
    for name, vertices in files.items():
        np.savez(
            tmp_path / f"{name}.npz",
            **{"mesh": vertices, "mesh/faces": plane.faces, "cloud": cloud[: len(name)]},
        )
    found = against.apart(tmp_path / "here.npz", tmp_path / "there.npz")
    assert found["cloud"] is None
    assert found["mesh"]["largest move of a vertex"] == pytest.approx(0.01)
    assert found["mesh"]["share of vertices moved by more than 1e-4"] == 1 / len(moved)
    assert found["mesh"]["largest distance to the other's surface"] < 1e-9


@pytest.mark.slow
def test_a_sample_is_compared_with_itself(monkeypatch):
    monkeypatch.setattr(
        against, "check_out", lambda revision, folder: folder.symlink_to(against._HERE)
    )
    report = against.Against("x", resolutions=(32,), points=300, num=0, repeats=1).measure()
    moved = report["apart"]
    assert set(moved) == {"mesh 32", "cloud"}
    assert all(row["largest move of a vertex"] == 0.0 for row in moved.values())
    assert moved["mesh 32"]["largest distance to the other's surface"] < 1e-12
    assert report["there / here"]["queries, mesh 32"] == 1.0
    assert report["here"]["process"] > report["here"]["mesh 32"] > 0


def test_every_objective_stands_on_the_ladder():
    assert {rung.objective for rung in ladder.RUNGS} == {*OBJECTIVES, *SPECIAL_CASES}
    assert len({rung.name for rung in ladder.RUNGS}) == len(ladder.RUNGS)
    for rung in ladder.RUNGS:
        case = SPECIAL_CASES.get(rung.objective)
        if case is not None:
            assert case.interpolant in (None, rung.interpolant)
            assert case.prediction in (None, rung.prediction)


@pytest.mark.slow
def test_a_short_climb_is_scored_and_drawn(tmp_path):
    benchmark = ObjectivesBenchmark(
        data=("mixture",),
        rungs=("flow-matching linear u",),
        samples=200,
        workers=1,
        budget=ladder.Budget(seconds=0.5, batch=32, width=16),
        seeds=2,
        cost=False,
        plot=tmp_path / "ladder.png",
    )
    report = benchmark.measure()["data"]["mixture"]
    assert set(report["rungs"]) == {"flow-matching linear u", "flow-matching linear u pooled"}
    generator = torch.Generator().manual_seed(0)
    DATA["mixture"](NUM_DATA, generator, "train")
    reference = DATA["mixture"](200, generator, "test")
    apart = ladder.wasserstein(EXACT["mixture"](ladder.start_noise(reference)), reference)
    for row in report["rungs"].values():
        assert min(row["training_steps"]) >= 1
        runs = row["w2_runs"]["1"]
        assert len(set(runs)) == 2
        assert row["w2"]["1"] == pytest.approx(sum(runs) / 2)
        assert row["w2_deviation"]["1"] == pytest.approx(abs(runs[0] - runs[1]) / 2**0.5)
        assert list(row["w2"]) == ["1", "2", "4", "8", "50 ode"]
        assert all(value > 0 for value in row["w2"].values())
        # The triangle inequality: no pairing beats that by the noise, over the exact ends.
        assert all(value <= row["rms"][name] + apart for name, value in row["w2"].items())
        assert row["w2"]["1"] > apart
    assert (tmp_path / "ladder.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_rungs_and_data_are_refused():
    for wrong in ({"rungs": ("gan",)}, {"data": ("cube",)}):
        with pytest.raises(ValueError, match="data are mixture, checkerboard"):
            ObjectivesBenchmark(**wrong).measure()


def test_wasserstein_is_that_of_the_best_pairing():
    a, b = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    orders = itertools.permutations(range(5))
    best = min((a[list(order)] - b).square().sum(1).mean().sqrt().item() for order in orders)
    assert ladder.wasserstein(a, b) == pytest.approx(best, rel=1e-5)
    assert ladder.wasserstein(a / 0, b) is None


@pytest.mark.parametrize("name", ["mixture", "checkerboard"])
def test_plane_data_are_what_they_say(name):
    x = DATA[name](20_000, torch.Generator().manual_seed(0), "train").numpy()
    assert x.shape == (20_000, 2)
    if name == "checkerboard":
        squares = np.floor(x + 2).astype(int)
        assert set(map(tuple, squares)) == {
            (i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0
        }
    else:
        near = np.abs(x[:, :1] - np.array([-1.3, 0.0, 1.3])).argmin(1)
        assert np.bincount(near) / len(near) == pytest.approx([0.5, 0.2, 0.3], abs=0.02)


def test_the_exact_ends_are_distributed_as_the_data():
    noise = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    end = EXACT["mixture"](noise)
    data = DATA["mixture"](20_000, torch.Generator().manual_seed(1), "train")
    gap = (end.sort(0)[0] - data.sort(0)[0]).abs().mean()
    assert gap < 0.02 < (noise.sort(0)[0] - data.sort(0)[0]).abs().mean()
    # Each coordinate moves on its own and keeps its order.
    assert (end[noise[:, 0].argsort(), 0].diff() >= 0).all()


def test_memory_counts_what_is_alive_at_once():
    def chain(keep):
        held = []
        for _ in range(5):
            held = [*(held if keep else []), torch.ones(1_000)]

    assert memory.peak_tensor_bytes(lambda: chain(False)) == 2 * 4_000
    assert memory.peak_tensor_bytes(lambda: chain(True)) == 5 * 4_000


def test_one_nna_knows_one_distribution_from_two():
    x = torch.randn(3, 300, 2, generator=torch.Generator().manual_seed(0))
    assert ladder.one_nna(x[0], x[1]).value == pytest.approx(0.5, abs=0.08)
    assert ladder.one_nna(x[0], x[2] + 5).value > 0.99


@pytest.mark.slow
def test_the_table_of_distributions_has_every_row(tmp_path):
    trimesh.creation.torus(1.0, 0.3).export(tmp_path / "ring.obj")
    benchmark = DistributionBenchmark(
        meshes=(str(tmp_path / "ring.obj"), "mug"),
        steps=(1, 3),
        points=500,
        training=DistributionTraining(steps=2, batch=16),
        jumps=JumpTraining(steps=2, batch=32, solver_steps=6),
    )
    for rows in benchmark.measure()["chamfer"].values():
        jumps = "EDM, levels of the jumps"
        trained = ["EDM, cumulative", "u, cumulative"]
        trained += [f"{name}, pooled" for name in trained]
        maps = [name for one in trained for name in (one, f"{one}, jumps fitted")]
        assert list(rows) == ["floor", "EDM", jumps, *maps]
        # One step is from the first level to the last on any grid; three are not.
        assert rows["EDM"]["1"] == rows[jumps]["1"]
        assert rows["EDM"]["3"] != rows[jumps]["3"]
        # Two steps of training have not reached the surface.
        assert all(rows["EDM"][k] > 2 * rows["floor"] for k in ("1", "3"))
        # With other targets training goes elsewhere.
        assert rows["u, cumulative"]["1"] != rows["u, cumulative, pooled"]["1"]
        assert all(rows[name]["1"] != rows[f"{name}, jumps fitted"]["1"] for name in trained)
    other = replace(benchmark, meshes=("mug",), variants=("u, cumulative, pooled",), seed=1)
    (again,) = other.measure()["chamfer"].values()
    assert again["u, cumulative, pooled"]["1"] != rows["u, cumulative, pooled"]["1"]
