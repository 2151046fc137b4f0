"""Precision is what a timed product says; what is chosen by hand stays; a run keeps its own."""

from dataclasses import replace

import pytest
import torch

from geoflow.training import precision
from geoflow.training.muon import orthogonalise
from geoflow.training.precision import Measured, autocast, measure, settled
from geoflow.training.stage import StageOptions
from geoflow.training.stages.joints import JointTraining


@pytest.fixture
def machine(monkeypatch):
    """Lets a test say how long a product takes in float32 and in bfloat16."""

    def say(float32, bf16, *, error=0.0):
        clock = [0.0]

        def linear(x, weight):
            is_bf16 = torch.is_autocast_enabled("cpu")
            clock[0] += bf16 if is_bf16 else float32
            return (x @ weight.detach().T) * (1 + error * is_bf16) + 0 * weight.sum()

        monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
        monkeypatch.setattr(precision.nn.functional, "linear", linear)
        measure.cache_clear()
        return measure("cpu")

    yield say
    measure.cache_clear()


@pytest.mark.parametrize(
    ("float32", "bf16", "error", "chosen"),
    [(2.0, 1.0, 0.0, True), (1.0, 2.0, 0.0, False), (1.0, 0.98, 0.0, False), (2, 1, 0.3, False)],
    ids=["faster", "slower", "tie", "wrong"],
)
def test_bf16_is_taken_where_it_is_faster_and_right(machine, float32, bf16, error, chosen):
    measured = machine(float32, bf16, error=error)
    assert measured.ratio == pytest.approx(bf16 / float32)
    assert measured.bf16 == chosen
    options = settled(StageOptions(), "cpu")
    assert (options.bf16, options.muon_bf16) == (chosen, chosen)
    with autocast(None, "cpu"):
        assert torch.is_autocast_enabled("cpu") == chosen


@pytest.mark.parametrize("chosen", [True, False])
def test_what_is_chosen_by_hand_stays(machine, chosen):
    machine(*((1.0, 2.0) if chosen else (2.0, 1.0)))
    options = StageOptions(bf16=chosen, muon_bf16=chosen)
    assert settled(options, "cpu") == options
    with autocast(chosen, "cpu"):
        assert torch.is_autocast_enabled("cpu") == chosen


def test_the_backward_product_is_timed_where_no_gradients_are_asked_for():
    measure.cache_clear()
    with torch.no_grad():
        assert measure("cpu").ratio > 0


def test_joints_keep_the_digits_of_their_distances(machine):
    machine(2.0, 1.0)
    options = settled(JointTraining(), "cpu")
    assert (options.bf16, options.muon_bf16) == (False, True)
    assert settled(replace(JointTraining(), bf16=True), "cpu").bf16


def test_a_device_without_bf16_keeps_float32(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("bfloat16 is not supported")

    real = torch.nn.functional.linear
    monkeypatch.setattr(
        precision.nn.functional,
        "linear",
        lambda *a: refuse() if torch.is_autocast_enabled("cpu") else real(*a),
    )
    measure.cache_clear()
    assert not measure("cpu").bf16
    measure.cache_clear()


def test_this_machine_gives_one_answer_with_the_error_of_eight_bits():
    measured = measure("cpu")
    assert measured is measure("cpu")
    assert measured.ratio > 0
    assert 1e-4 < measured.error < 1e-2
    assert not Measured(0.5, 0.5).bf16


def test_orthogonal_updates_agree_in_both_precisions():
    matrices = torch.randn(2, 24, 40, generator=torch.Generator().manual_seed(0))
    fine, coarse = (orthogonalise(matrices, bf16=bf16) for bf16 in (False, True))
    assert fine.dtype == coarse.dtype == torch.float32
    assert 0 < (fine - coarse).norm() < 0.05 * fine.norm()
