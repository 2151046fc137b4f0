"""The benchmark of completion: its measures, and that every method is measured alike."""

import numpy as np
import pytest
import trimesh

from geoflow_tools.bench.completion import Case, CompletionBenchmark, Results, score
from geoflow_tools.bench.reconstructors import PACKAGES, RECONSTRUCTORS

BALL = trimesh.creation.icosphere(subdivisions=4, radius=0.8)


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3000, 3))
    normals = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    queries = rng.uniform(-1, 1, (4000, 3))
    inside = np.linalg.norm(queries, axis=1) < 0.8
    return Case(0.8 * normals[:400], normals[:400], 0.8 * normals[400:], queries, inside)


def test_the_truth_scores_best_and_a_smaller_ball_by_what_it_lacks(case):
    best = score(case, BALL)
    assert best["iou"] > 0.99
    assert best["f_score"] > 0.1
    assert best["boundary"] < 2e-3
    assert best["fit"] < 2e-3
    small = score(case, BALL.copy().apply_scale(0.9))
    assert small["boundary"] == pytest.approx(0.08, abs=2e-3)
    assert small["fit"] == pytest.approx(0.08, abs=2e-3)
    assert small["iou"] == pytest.approx(0.9**3, abs=0.03)
    assert small["chamfer"] > best["chamfer"]
    assert small["f_score"] == 0.0


def test_a_failure_is_the_worst_in_medians():
    names = ("chamfer", "f_score", "iou", "boundary", "fit", "seconds", "processor")
    row = Results([None, dict.fromkeys(names, 1.0)], [False, True])
    found = row.summary()
    assert found["failed"] == found["watertight"] == 0.5
    assert found["chamfer"] is None
    assert found["iou"] is None
    assert found["mean_iou"] == 0.5
    row.each.append(row.each[1])
    row.watertight.append(True)
    assert row.summary()["chamfer"] == 1.0


@pytest.mark.parametrize("name", [name for name in RECONSTRUCTORS if name != "alpha-shape"])
@pytest.mark.parametrize("has_normals", [True, False])
def test_every_method_makes_the_ball(case, name, has_normals):
    pytest.importorskip(PACKAGES[name])
    mesh = RECONSTRUCTORS[name](case.points, case.normals if has_normals else None)
    assert score(case, mesh)["boundary"] < 0.05
    assert mesh.volume > 0 or not mesh.is_watertight


def test_of_a_hollow_ball_an_alpha_shape_makes_nothing(case):
    pytest.importorskip(PACKAGES["alpha-shape"])
    assert RECONSTRUCTORS["alpha-shape"](case.points, None) is None


def test_no_point_that_is_measured_against_was_given(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFLOW_CACHE", str(tmp_path))
    bench = CompletionBenchmark(category="mug", num=1, points=(2048,), noise=0.0)
    made = bench.case(bench.bank(), 0, 2048)
    assert len(made.points) == 2048
    given, measured = ({tuple(p) for p in points} for points in (made.points, made.surface))
    assert not given & measured
    with pytest.raises(ValueError, match=r"points must be at most 3072.*got 4000"):
        CompletionBenchmark(category="mug", num=1, points=(4000,)).bank()


@pytest.mark.slow
def test_the_benchmark_has_a_row_for_all():
    bench = CompletionBenchmark(
        model="chair", category="mug", num=1, points=(64,), normals=True, resolution=24, steps=(1,)
    )
    found = bench.measure()
    (table,) = found["medians"].values()
    assert set(table) == {
        "geoflow",
        "geoflow, another answer, 1 steps",
        *(set(RECONSTRUCTORS) - set(found["left_out"])),
    }
    assert table["geoflow"]["watertight"] == 1.0
    assert 0 < found["floor"] < 0.1
