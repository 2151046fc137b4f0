"""The traps of docs/metrics.md, one by one, as seen by who reads a report."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geoflow.geometry.metrics import (
    METRICS,
    chamfer_distance_squared,
    earth_movers_distance,
    one_nn_accuracy,
)
from geoflow.geometry.metrics.normalise import NORMALISATIONS
from geoflow_tools.evaluation import distances
from geoflow_tools.evaluation.evaluation import Evaluation, Settings
from geoflow_tools.evaluation.report import score, summary

ROOT = Path(__file__).parents[2]


def clouds(num, seed, num_points=24):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, num_points, 3)) * rng.uniform(0.3, 1.0, (num, 1, 3))


def report_of(samples, reference, *, normalise="box", emd_points=8):
    samples, reference = NORMALISATIONS[normalise](samples, reference)
    matrices = {
        name: {
            matrix: np.array([[METRICS[name](x, y) for y in b] for x in a])
            for matrix, (a, b) in {
                "samples": (samples, samples), "reference": (reference, reference),
                "between": (samples, reference),
            }.items()
        }
        for name in ("chamfer_squared",)
    }  # fmt: skip
    none = np.zeros((0, 3), bool)
    scores = score(matrices, samples=samples, reference=reference, passed=none, empty=0)
    shapes = {"samples": len(samples), "reference": len(reference), "empty": 0}
    refused = {"samples": [], "reference": []}
    return {"metrics": scores, "shapes": shapes, "normalise": normalise, "refused": refused,
            "points": samples.shape[1], "emd_points": emd_points}  # fmt: skip


def test_1_emd_is_exact_where_a_greedy_matching_is_not():
    """On a line the optimum keeps the order; taking the nearest free point does not."""
    a, b = np.zeros((2, 3, 3))
    a[:, 0], b[:, 0] = [0.0, 1.0, 2.0], [0.9, 1.9, 4.0]
    assert earth_movers_distance(a, b) == pytest.approx((0.9 + 0.9 + 2.0) / 3)
    free, greedy = [0, 1, 2], 0.0
    for i in (1, 2, 0):
        nearest = min(free, key=lambda j: abs(a[i, 0] - b[j, 0]))
        free.remove(nearest)
        greedy += abs(a[i, 0] - b[nearest, 0]) / 3
    assert greedy > earth_movers_distance(a, b) + 0.01


def test_2_the_normalisation_moves_the_numbers_and_is_printed():
    reference, samples = clouds(20, 0), 0.5 * clouds(20, 1)
    reports = {name: report_of(samples, reference, normalise=name) for name in NORMALISATIONS}
    matching = {
        name: report["metrics"]["chamfer_squared"]["minimum_matching_distance"]["value"]
        for name, report in reports.items()
    }
    assert len({round(value, 6) for value in matching.values()}) == len(NORMALISATIONS)
    accuracy = {
        name: report["metrics"]["chamfer_squared"]["one_nna"]["value"]
        for name, report in reports.items()
    }
    # Half the size is seen unless each shape is scaled; one scale for all changes no order.
    assert accuracy["none"] == accuracy["global"]
    assert accuracy["none"] > accuracy["box"] + 0.1
    for name, report in reports.items():
        assert summary(report)[0].endswith(f"normalisation: {name}")


def test_3_the_standard_error_is_binomial_and_printed():
    def error(num):
        """Of an accuracy of one half: every other shape has a twin in the other set."""
        rng = np.random.default_rng(num)
        x, y = rng.random((2, num, 1))
        return one_nn_accuracy(abs(x - x.T), abs(y - y.T), abs(x - y.T)).standard_error

    assert error(405) == pytest.approx(0.0176, abs=0.0003)
    assert error(100) == pytest.approx(0.0354, abs=0.0006)
    lines = summary(report_of(clouds(12, 2), clouds(12, 3)))
    (line,) = [line for line in lines if "1-NNA" in line]
    assert re.search(r"\d+\.\d ± \d+\.\d % \(samples .*; 50 is ideal", line)


def test_3_less_than_half_is_not_called_better():
    reference = clouds(12, 4)
    copies = reference + 1e-3
    (line,) = [line for line in summary(report_of(copies, reference)) if "1-NNA" in line]
    assert "0.0 ± 0.0 %" in line
    assert "under 50 is not better: samples are nearer" in line
    noise = np.random.default_rng(0).uniform(-3, 3, (12, 24, 3))
    (line,) = [line for line in summary(report_of(noise, reference)) if "1-NNA" in line]
    assert "not better" not in line


def test_3_a_little_less_than_half_is_noise():
    report = report_of(clouds(12, 2), clouds(12, 3))
    report["metrics"]["chamfer_squared"]["one_nna"] = {
        "value": 0.465,
        "standard_error": 0.025,
        "samples": 0.4,
        "references": 0.53,
    }
    (line,) = [line for line in summary(report) if "1-NNA" in line]
    assert "46.5 ± 2.5 % (samples 40.0, references 53.0; 50 is ideal;" in line
    assert line.endswith("; under 50 is not better)")


def test_4_training_never_sees_the_test_split():
    """Checkpoints can be chosen on `val` alone; the evaluation is what reads `test`."""
    tools = ROOT / "tools"
    training = [*(ROOT / "geoflow" / "training").rglob("*.py"), tools / "geoflow_cli" / "train.py"]
    training += [*(tools / "geoflow_cli" / "kinds").glob("*.py")]
    training += [*(tools / "geoflow_tools" / "validation").glob("*.py")]
    assert len(training) > 5
    assert not [path.name for path in training if '"test"' in path.read_text()]
    assert (
        '"test"' in (ROOT / "tools" / "geoflow_tools" / "evaluation" / "evaluation.py").read_text()
    )


def test_4_without_pot_emd_raises_and_is_never_a_number(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match="pip install POT"):
        earth_movers_distance(np.zeros((2, 3)), np.ones((2, 3)))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i, points in enumerate(clouds(2, 5)):
            np.save(tmp_path / name / f"{i}.npy", points)
    settings = Settings(
        str(tmp_path / "a"), samples=str(tmp_path / "b"), num=2, points=24, emd_points=8
    )
    with pytest.raises(ImportError, match="pip install POT"):
        Evaluation(settings, tmp_path / "work")
    assert not (tmp_path / "work").exists()
    evaluation = Evaluation(replace(settings, emd_points=0), tmp_path / "work")
    for _ in evaluation.run():
        pass
    report = evaluation.report()
    assert "emd" not in report["metrics"]
    assert "EMD: left out (--emd-points 0)" in summary(report)


def test_5_the_squared_form_sums_and_the_names_say_so():
    a, b = np.zeros((1, 3)), np.array([[0.5, 0, 0]])
    assert chamfer_distance_squared(a, b) == pytest.approx(2 * 0.25)
    assert METRICS["chamfer"](a, b) == pytest.approx(0.5)
    lines = "\n".join(summary(report_of(clouds(4, 6), clouds(4, 7))))
    assert "CD, squared, sum of both directions" in lines


def test_5_far_from_the_origin_no_digit_is_lost():
    """The expanded square in single precision loses what ours keeps."""

    def expanded(x, y):
        x, y = x.astype(np.float32), y.astype(np.float32)
        squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
        return squares.min(1).mean() + squares.min(0).mean()

    # Halves of units of single precision at 10, so that the offset itself rounds nothing.
    a, b = (np.round(c * 2**17) / 2**17 for c in clouds(2, 8, 500) * 0.1)
    here = chamfer_distance_squared(a, b)
    assert chamfer_distance_squared(a + 10, b + 10) == pytest.approx(here, rel=1e-10)
    assert abs(expanded(a + 10, b + 10) / here - 1) > 1e-4


def test_6_the_cost_is_known_and_the_subsample_is_said():
    pairs = sum(block.pairs for block in distances.plan("chamfer", 405, 405))
    assert pairs == 405 * 405 + 405 * 404
    report = report_of(clouds(4, 9), clouds(4, 10), emd_points=8)
    report["metrics"]["emd"] = report["metrics"]["chamfer_squared"]
    assert "EMD, exact, unsquared, 8 of the points:" in summary(report)
