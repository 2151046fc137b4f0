"""A flow map's jumps fitted to whole solutions of its own ODE, after its training.

    L = E w(t) |m_{t->r}(y_t) - m*(y_t, y_r)|^2,    psi_{t->r}(y_t) = y_r if m_{t->r} = m*

over states y of solutions that are made once from noise by Heun's method. A map that learns by the
averaging law lags behind the ODE of its own field, which is good long before the jumps are. Most
pairs (t, r) are those that samples of a few evaluations jump between; an eighth of the rows hold
the diagonal where it was, so that the ODE stays. It needs no data.

Reference: from all states of stored trajectories, Hu et al., "CMT: Mid-Training for Efficient
Learning of Consistency, Mean Flow, and Flow Map Models", 2025, arXiv:2509.24526.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.models.distribution import GeometryDistribution
from geoflow.objectives import Losses
from geoflow.seeds import step_generator
from geoflow.solutions import Solutions
from geoflow.training.optimisation import Schedule
from geoflow.training.stage import Context, StageOptions
from geoflow.training.stages.distribution import surface_weight
from geoflow.training.stages.flow import FlowStage
from geoflow.typing import Count

# Shares of the pairs by the evaluations of the sample whose jumps they are; others are any two
# states of a solution.
_SHARES = {1: 0.25, 2: 0.35, 3: 0.15, 6: 0.05}
# One row in so many is on the diagonal.
_ON_DIAGONAL = 8
# Solutions of one call of the network.
_CHUNK = 4096
# Pairs that a solution gives, at least, where a run is short.
_USES = 32
SOLVING = "solving the ODE"


@dataclass(frozen=True)
class JumpTraining(StageOptions):
    """Options of the fit."""

    batch: Count = 2_048
    """Pairs of a step."""
    solutions: Count = 32_768
    """Solutions that are made beforehand, at most: short runs ask fewer."""
    solver_steps: Count = 48
    """Steps of the solver along the quantiles of the times, beside those where jumps end."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=1e-3))
    """Learning rate."""


class Pairs(NamedTuple):
    """Two states of one solution each, and their times."""

    start: Float[Tensor, "b c"]
    end: Float[Tensor, "b c"]
    t: Float[Tensor, " b"]
    r: Float[Tensor, " b"]


class JumpStage(FlowStage[GeometryDistribution, Pairs]):
    """Fits the jumps of a trained `GeometryDistribution` to its own ODE."""

    name = "jumps"
    options_type = JumpTraining
    is_optional = True

    def __init__(self, options: JumpTraining, context: Context) -> None:
        super().__init__(options, context)
        # What the stage before has left, ahead of this stage's own checkpoint.
        self._teacher = copy.deepcopy(self.module).eval().requires_grad_(False)
        # That was an average, which is not trained.
        self.module.requires_grad_(True)
        self._weight = surface_weight(self.model.config)
        self._times, self._ends, self._chances = _plan(self.model, options.solver_steps)

    def prepare(self) -> None:
        """Solve the ODE from noise."""
        options, context = self.options, self.context
        num = min(options.solutions, -(-options.steps * options.batch // _USES))
        generator = step_generator(context.seed, "solutions", 0)
        noise = torch.randn(num, self.model.config.size, generator=generator)
        solved = []
        for part in noise.to(context.device).split(_CHUNK):
            solved.append(Solutions.solve(self._teacher, part, self._times))
            context.watch(SOLVING, sum(s.states.shape[1] for s in solved), num)
        self._solutions = Solutions(torch.cat([s.states for s in solved], 1), solved[0].times)

    def batch(self, generator: torch.Generator) -> Pairs:
        """States of random solutions at the ends of random jumps."""
        num, solutions = self.options.batch, self._solutions
        device = solutions.states.device
        which = torch.multinomial(self._chances, num, replacement=True, generator=generator)
        first = torch.randint(solutions.steps, (num,), generator=generator)
        ahead = torch.rand(num, generator=generator) * (solutions.steps - first)
        second = (first + 1 + ahead.long()).clamp(max=solutions.steps)
        is_any = (which == len(self._ends))[:, None]
        i, j = torch.where(
            is_any,
            torch.stack([first, second], 1),
            self._ends[which.clamp(max=len(self._ends) - 1)],
        ).T.to(device)
        of = torch.randint(solutions.states.shape[1], (num,), generator=generator)
        return Pairs(*solutions.pairs(i, j, of.to(device)))

    def loss(self, batch: Pairs, step: int, generator: torch.Generator) -> Losses:
        """Losses of single pairs."""
        start, end, t, r = batch
        goal = self._teacher.field_between(start, end, t, r)
        held = slice(0, -(-len(start) // _ON_DIAGONAL))
        r = r.clone()
        r[held] = t[held]
        with torch.no_grad():
            goal[held] = self._teacher.field(start[held], t[held], t[held]).to(goal.dtype)
        error = self.module.field(start, t, r).float() - goal
        return Losses.split(self._weight(self.module, error, t), r != t)


def _plan(
    model: GeometryDistribution, solver_steps: int
) -> tuple[Float[Tensor, " k1"], Tensor, Float[Tensor, " m1"]]:
    """Times of the solver, ends of each jump as indices of them, and its chance; any two come last.

    The times are those where samples of few evaluations land, and others between them.
    """
    landings = {steps: model.config.grid(steps) for steps in _SHARES}
    times = torch.cat([*landings.values(), model.config.times.grid(solver_steps)]).unique()
    ends, chances = [], []
    for steps, share in _SHARES.items():
        places = torch.searchsorted(times, landings[steps]).tolist()
        ends += list(itertools.pairwise(places))
        chances += [share / steps] * steps
    chances.append(1 - sum(_SHARES.values()))
    return times, torch.tensor(ends), torch.tensor(chances)
