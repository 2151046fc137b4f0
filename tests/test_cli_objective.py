"""The objective that `geoflow train` takes where none is named."""

from __future__ import annotations

import pytest

from geoflow.models.fields import FieldConfig
from geoflow.objectives import SPECIAL_CASES
from geoflow.training.stages.latent_flow import FlowTraining
from geoflow_cli.kinds.fields import Train
from geoflow_cli.kinds.flow_options import CELL, chosen_cell, chosen_objective


def test_commands_and_programs_have_one_default():
    assert chosen_objective(Train()) == FlowTraining().objective
    assert (FieldConfig().interpolant, FieldConfig().prediction) == CELL


def test_the_default_is_in_the_cell_of_its_paper():
    case = SPECIAL_CASES[FlowTraining().objective]
    assert (case.interpolant, case.prediction) == CELL


@pytest.mark.parametrize(
    ("options", "cell"),
    [
        (Train(prediction="x1"), (None, None)),
        (Train(interpolant="vp"), (None, None)),
        (Train(), ("linear", "x1")),
        (Train(), ("trigonometric", "u")),
    ],
)
def test_in_another_cell_it_is_the_law_that_suits_any(options, cell):
    assert chosen_objective(options, cell) == "cumulative"
    assert chosen_objective(Train(), CELL) != "cumulative"


def test_what_is_named_is_taken():
    options = Train(objective="trigflow")
    assert chosen_objective(options, ("linear", "u")) == "trigflow"
    assert chosen_cell(options) == ("trigonometric", "v")
    assert chosen_cell(Train()) == (None, None)
