"""One teacher, and every objective that distils it."""

import pytest
import torch

from geoflow.objectives import OBJECTIVES
from geoflow_tools.bench.distillation import STUDENTS, DistillationBenchmark, newness
from geoflow_tools.bench.ladder import Budget
from geoflow_tools.bench.toy_data import digits


def test_all_that_distil_are_students():
    assert set(STUDENTS) < set(OBJECTIVES)
    assert {"lagrangian", "eulerian", "progressive"} <= set(STUDENTS)
    assert "flow-matching" not in STUDENTS


def test_digits_are_split_and_scaled():
    pytest.importorskip("sklearn")
    train, test = (digits(10_000, torch.Generator().manual_seed(0), s) for s in ("train", "test"))
    assert (len(train), len(test)) == (1437, 360)
    assert (train.min(), train.max()) == (-1, 1)
    # No held-out image is among those to learn from; one of a class is near.
    nearest = torch.cdist(test, train).min(1).values
    assert nearest.min() > 0
    assert nearest.median() < torch.cdist(test, test).median() / 2
    assert len(digits(20, torch.Generator().manual_seed(0), "test")) == 20


def test_copies_are_told_from_new_examples():
    draw = torch.Generator().manual_seed(0)
    data, held_out, samples = (torch.randn(num, 3, generator=draw) for num in (2000, 500, 500))
    assert newness(data[:500], data, held_out) == 0
    assert newness(samples, data, held_out) == pytest.approx(1, abs=0.15)
    assert newness(2 * samples, data, held_out) > 1.5


@pytest.mark.slow
@pytest.mark.parametrize("data", ["mixture", "digits"])
def test_students_come_nearer_to_their_teacher_in_one_step(data):
    pytest.importorskip("sklearn")
    torch.manual_seed(0)
    report = DistillationBenchmark(
        data=(data,),
        students=("lagrangian", "progressive"),
        samples=100,
        workers=1,
        teacher=Budget(seconds=1.0, batch=64, width=32),
        budget=Budget(seconds=1.5, batch=64, diagonal_first=0.0, ema=0.95),
    ).measure()
    table = report["data"][data]
    assert list(table) == ["teacher", "lagrangian", "progressive"]
    assert report["budget"]["width"] == 32
    for row in table.values():
        assert row["training_steps"][0] >= 1
        assert list(row["to_teacher"]) == ["1", "2", "4", "8"]
        # The exact flow of digits is not known.
        assert ("rms" in row) == (data == "mixture")
        assert ("to_training" in row) == (data == "digits")
    one = {name: row["to_teacher"]["1"] for name, row in table.items()}
    # In so little time not all learn to make digits.
    least = max(one["lagrangian"], one["progressive"]) if data == "mixture" else one["lagrangian"]
    assert least < (0.7 if data == "mixture" else 1.0) * one["teacher"]


def test_what_cannot_distil_is_refused():
    with pytest.raises(ValueError, match=r"students are .*lagrangian.*got mixture and cumulative"):
        DistillationBenchmark(data=("mixture",), students=("cumulative",)).measure()
