"""What stages that train a flow map have in common: flow matching first, then the objective.

The averaging law of the cumulative objective compares two halves of the map, and learns nothing
from a map that is still noise. The stopped targets are those of the moving average of the weights,
which is also what is kept.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from geoflow.flow_map import FlowMap
from geoflow.objectives import FlowMatching, Objective
from geoflow.training.stage import Stage, StageOptions
from geoflow.typing import Share

F = TypeVar("F", bound=Any)
B = TypeVar("B")


@dataclass(frozen=True)
class FlowOptions(StageOptions):
    """Options of a stage that trains a flow map."""

    objective: str = "cumulative"
    """Key of OBJECTIVES or SPECIAL_CASES."""
    diagonal_first: Share = 0.3
    """Share of the run, at its start, that is flow matching alone."""
    targets: Literal["pair", "pooled"] = "pair"
    """Of the data pair that a state was drawn from, or averaged over data that it may come from."""


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
    """The objective of a step; in the first share of the run the warm-up, flow matching."""
    if step >= options.diagonal_first * options.steps:
        return objective
    return FlowMatching() if warm_up is None else warm_up


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
