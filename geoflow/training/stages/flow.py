"""What stages that train a flow map have in common: flow matching first, then the objective.

The averaging law of the cumulative objective compares two halves of the map, and learns nothing
from a map that is still noise. The stopped targets are those of the moving average of the weights,
which is also what is kept.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from geoflow.flow_map import FlowMap
from geoflow.objectives import FlowMatching, Objective
from geoflow.training.stage import Stage, StageOptions
from geoflow.typing import Share

Targets = Literal["pair", "pooled"]
F = TypeVar("F", bound=Any)
B = TypeVar("B")


@dataclass(frozen=True)
class FlowOptions(StageOptions):
    """Options of a stage that trains a flow map."""

    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    diagonal_first: Share = 0.3
    """Share of the run, at its start, that is flow matching alone."""
    targets: Targets = "pair"
    """Of the data pair that a state was drawn from, or averaged over data that it may come from."""


def check_objective(objective: Objective, flow_map: FlowMap) -> None:
    """Check that the objective is defined for the map; warn where it is known to train badly.

    Raises:
        ValueError: for a map of another cell.
    """
    objective.check_cell(flow_map)
    caution = objective.caution(flow_map)
    if caution is not None:
        warnings.warn(caution, RuntimeWarning, stacklevel=2)


def check_targets(targets: str, coupling: str) -> None:
    """Check that data may be averaged over, which asks for noise that tells nothing of them.

    Raises:
        ValueError: for pooled targets of coupled noise.
    """
    if targets == "pooled" and coupling != "independent":
        raise ValueError(
            "pooled targets need noise that is independent of the data, got the coupling "
            f"{coupling}: leave one of them out"
        )


def current_objective(
    objective: Objective, options: FlowOptions, step: int, warm_up: Objective | None = None
) -> Objective:
    """The objective of a step; in the first share of the run the warm-up.

    That is flow matching at single times of the objective's distribution, with its weights; or as
    it is given.
    """
    first = options.diagonal_first * options.steps
    if step >= first:
        return objective.at((step - first) / max(options.steps - first, 1))
    if warm_up is not None:
        return warm_up
    return FlowMatching(times=replace(objective.times, diagonal=1.0), weight=objective.weight)


class FlowStage(Stage[F, B]):
    """Trains the `flow_map` of a model, and keeps the moving average of its weights."""

    @property
    def module(self) -> FlowMap:
        """The flow map."""
        flow_map: FlowMap = self.model.flow_map
        return flow_map

    @property
    def slow(self) -> FlowMap:
        """The moving average."""
        assert self.average is not None, "the loop makes the average before the first step"
        average: FlowMap = self.average.module
        return average

    def kept(self) -> F:
        """The model with the averaged flow map."""
        kept = copy.copy(self.model)
        kept.flow_map = self.slow
        return kept

    def finish(self) -> None:
        """The moving average is what is kept."""
        self.model.flow_map = self.slow
