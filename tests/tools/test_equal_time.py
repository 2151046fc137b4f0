"""Steps that fit a time: counted by a clock that the steps themselves move."""

from types import SimpleNamespace

import pytest

from geoflow.models.joints import Rigger, RiggerConfig
from geoflow.training.stage import Context
from geoflow.training.stages.joints import JointStage, JointTraining
from geoflow_tools.bench import equal_time


@pytest.fixture
def stage(monkeypatch):
    """A stage whose steps cost 1 in the warm-up and 3 after it, by its clock."""
    clock = SimpleNamespace(now=0.0)

    def take_step(stage, step, optimiser):
        clock.now += 1 if step < stage.options.diagonal_first * stage.options.steps else 3

    monkeypatch.setattr(equal_time, "take_step", take_step)
    monkeypatch.setattr(equal_time.time, "process_time", lambda: clock.now)
    options = JointTraining(steps=1_000, diagonal_first=0.4)
    return JointStage(options, Context(Rigger.build(RiggerConfig()), None))


def test_steps_of_both_parts_are_paid_for(stage):
    assert equal_time.affordable_steps(stage, 220.0) == 100  # 0.4 at 1 and 0.6 at 3


def test_one_step_at_least_and_no_time_is_refused(stage):
    assert equal_time.affordable_steps(stage, 0.1) == 1
    with pytest.raises(ValueError, match="must be positive, got 0"):
        equal_time.affordable_steps(stage, 0.0)
