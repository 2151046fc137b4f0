"""Published few-step models that are settings of the family: a name, an objective, its cell.

Each is shown to coincide with its paper's formula by a test; none is written twice. A case may
belong to one cell of the grid of interpolants and predictions. Its objective is defined in the
others too, but the published model is not: there it goes by the name of the objective, and the case
refuses. `shortcut`, the default of training, is a split of the averaging law that every cell has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from geoflow.objectives.base import Objective, Weight
from geoflow.objectives.consistency import Consistency
from geoflow.objectives.cumulative import Cumulative
from geoflow.objectives.progressive import Progressive
from geoflow.times import LogitNormalPairs, UniformPairs


@dataclass(frozen=True)
class SpecialCase:
    """A published setting."""

    settings: Callable[[], Objective]
    """The objective with the paper's settings."""
    interpolant: str | None = None
    """Key of INTERPOLANTS that the paper has; None: any."""
    prediction: str | None = None
    """Key of PREDICTIONS that the paper has; None: any."""
    suits_all: bool = False
    """Whether the cell is a default alone, and others may train by this name."""

    def build(self) -> Objective:
        """The objective; it refuses maps of another cell than the paper's."""
        if self.suits_all or self.interpolant is None or self.prediction is None:
            return self.settings()
        return replace(self.settings(), cell=(self.interpolant, self.prediction))


def mean_flow() -> Objective:
    """The cumulative identity of the average velocity, by forward mode.

    Reference: Geng et al., "Mean Flows for One-step Generative Modeling", 2025, arXiv:2505.13447.
    """
    return Cumulative(
        derivative="jvp", times=LogitNormalPairs(), weight=Weight(power=1.0, floor=0.01)
    )


def euler_mean_flow() -> Objective:
    """Neighbours along the path, two-time, with the pull of the data kept at 1 / w.

    Reference: Li et al., "Euler Mean Flow", 2026, arXiv:2602.02571.
    """
    return Consistency(
        step=0.02,
        last_step=None,
        least_share=0.05,
        times=UniformPairs(diagonal=0.5, end=0.4),
        weight=Weight(power=1.0),
    )


def shortcut() -> Objective:
    """The averaging law, split in the middle.

    Reference: Frans et al., "One Step Diffusion via Shortcut Models", 2024, arXiv:2410.12557.
    """
    return Cumulative(derivative="average", split=0.5)


def progressive_distillation() -> Objective:
    """One step against two of a frozen sampler.

    Reference: Salimans & Ho, "Progressive Distillation", 2022, arXiv:2202.00512.
    """
    return Progressive(jumps=2)


def trigflow() -> Objective:
    """The cumulative identity at r = 1 on the quarter circle: continuous-time consistency (sCM).

    The adaptive weight of power 1/2 is the paper's normalised tangent.

    Reference: Lu & Song, "Simplifying, Stabilizing and Scaling Continuous-Time Consistency
    Models", 2024, arXiv:2410.11081.
    """
    return Cumulative(
        derivative="jvp",
        times=UniformPairs(diagonal=0.0, end=1.0),
        weight=Weight(power=0.5, floor=0.01),
    )


SPECIAL_CASES: dict[str, SpecialCase] = {
    "mean-flow": SpecialCase(mean_flow, "linear", "u"),
    "euler-mean-flow": SpecialCase(euler_mean_flow),
    "shortcut": SpecialCase(shortcut, "linear", "u", suits_all=True),
    "progressive-distillation": SpecialCase(progressive_distillation, "vp", "x1"),
    "trigflow": SpecialCase(trigflow, "trigonometric", "v"),
}
