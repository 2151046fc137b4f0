"""One teacher, and every objective that distils it."""

import pytest
import torch

from geoflow.objectives import OBJECTIVES
from geoflow_tools.bench.distillation import STUDENTS, DistillationBenchmark
from geoflow_tools.bench.ladder import Budget


def test_all_that_distil_are_students():
    assert set(STUDENTS) < set(OBJECTIVES)
    assert {"lagrangian", "eulerian", "progressive"} <= set(STUDENTS)
    assert "flow-matching" not in STUDENTS


@pytest.mark.slow
def test_students_come_nearer_to_their_teacher_in_one_step():
    torch.manual_seed(0)
    report = DistillationBenchmark(
        data=("mixture",),
        students=("lagrangian", "progressive"),
        samples=100,
        workers=1,
        teacher=Budget(seconds=1.0, batch=64, width=32),
        budget=Budget(seconds=1.5, batch=64, diagonal_first=0.0, ema=0.95),
    ).measure()
    table = report["data"]["mixture"]
    assert list(table) == ["teacher", "lagrangian", "progressive"]
    assert report["budget"]["width"] == 32
    for row in table.values():
        assert row["training_steps"][0] >= 1
        assert list(row["to_teacher"]) == ["1", "2", "4", "8"]
        assert list(row["rms"]) == ["1", "2", "4", "8", "50 ode"]
    one = {name: row["to_teacher"]["1"] for name, row in table.items()}
    assert max(one["lagrangian"], one["progressive"]) < 0.7 * one["teacher"]


def test_what_cannot_distil_is_refused():
    with pytest.raises(ValueError, match=r"students are .*lagrangian.*got mixture and cumulative"):
        DistillationBenchmark(data=("mixture",), students=("cumulative",)).measure()
