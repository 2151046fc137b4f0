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
from geoflow.objectives.eulerian import Eulerian
from geoflow.objectives.lagrangian import Lagrangian
from geoflow.objectives.neural_operator import NeuralOperator
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
    """Neighbours along the path, two-time, the residual divided by its share w, at least 0.05.

    Errors are then divided by their size; h stays at 0.02. The paper clips 1 / w likewise.

    Reference: Li et al., "Euler Mean Flow", 2026, arXiv:2602.02571.
    """
    return Consistency(
        step=0.02,
        last_step=None,
        least_share=0.05,
        times=UniformPairs(diagonal=0.5, end=0.4),
        weight=Weight(power=1.0),
    )


def alpha_flow() -> Objective:
    """Jumps of the pair along a share alpha of the way, which falls from flow matching to MeanFlow.

    The gradient is that of |m - sg(alpha m_t + (1 - alpha) m_{s->r}(x_s))|^2 / alpha. The share
    falls by a constant factor, not by the paper's sigmoid, to its floor of 0.005.

    Reference: Zhang et al., "AlphaFlow: Understanding and Improving MeanFlow Models", 2025,
    arXiv:2510.20771.
    """
    return Consistency(
        step=1.0,
        last_step=0.005,
        is_relative=True,
        least_share=0.005,
        times=LogitNormalPairs(),
        weight=Weight(power=1.0, floor=0.01),
    )


def solution_flow() -> Objective:
    """SoFlow: states are compared, neighbours a falling share of the way from each other.

    Three times t < s < r as in consistency training, the earlier state carried to s by the pair:
    the gradient is that of |psi_{t->r}(x_t) - sg psi_{s->r}(x_s)|^2 / (s - t) (r - t). The share,
    its schedule and the weight are ours.

    Reference: Luo et al., "SoFlow: Solution Flow Models for One-Step Generative Modeling", 2025,
    arXiv:2512.15657.
    """
    return Consistency(
        step=0.1,
        last_step=0.01,
        is_relative=True,
        least_share=0.01,
        times=LogitNormalPairs(),
        weight=Weight(power=0.5, floor=0.01),
    )


def split_mean_flow() -> Objective:
    """The averaging law, split at random.

    Reference: Guo et al., "SplitMeanFlow: Interval Splitting Consistency in Few-Step Generative
    Modeling", 2025, arXiv:2507.16884.
    """
    return Cumulative(derivative="average")


def terminal_velocity_matching() -> Objective:
    """The Lagrangian equation, the velocity at the end read of the moving average.

    Reference: Zhou et al., "Terminal Velocity Matching", 2025, arXiv:2511.19797.
    """
    return Lagrangian()


def align_your_flow() -> Objective:
    """The Eulerian equation of a teacher (AYF-EMD), its tangent normalised.

    The paper warms the derivative up along the run; here flow matching comes first.

    Reference: Sabour et al., "Align Your Flow", 2025, arXiv:2506.14603.
    """
    return Eulerian(weight=Weight(power=0.5, floor=0.01))


def mid_training() -> Objective:
    """Jumps from all states of a teacher's trajectory to its end (CMT), to start a flow map from.

    Reference: Hu et al., "CMT: Mid-Training for Efficient Learning of Consistency, Mean Flow, and
    Flow Map Models", 2025, arXiv:2509.24526.
    """
    return NeuralOperator(to_end=True)


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
    "split-mean-flow": SpecialCase(split_mean_flow, "linear", "u"),
    "alpha-flow": SpecialCase(alpha_flow, "linear", "u"),
    "soflow": SpecialCase(solution_flow, "linear", "u"),
    "terminal-velocity-matching": SpecialCase(terminal_velocity_matching, "linear", "u"),
    "align-your-flow": SpecialCase(align_your_flow, "linear", "u"),
    "mid-training": SpecialCase(mid_training),
    "progressive-distillation": SpecialCase(progressive_distillation, "vp", "x1"),
    "trigflow": SpecialCase(trigflow, "trigonometric", "v"),
}
