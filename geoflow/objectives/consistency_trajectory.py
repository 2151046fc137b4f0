"""Consistency trajectory: where two roads to one time lead, seen from the end.

    psi_{t->r}(x_t)   against   psi_{s->r}(S_{t->s}(x_t)),      t <= s <= r

S is an ODE solver on a frozen velocity, or on the average's own. Both are carried from r to 1 by
the average of the map and compared there, where errors are what is seen of them:

    L = E | psi-_{r->1}(psi_{t->r}(x_t)) - psi-_{r->1}(psi-_{s->r}(S_{t->s}(x_t))) |^2

The gradient passes through the first carrier's input, not its weights. On the diagonal, flow
matching. Of the paper's further terms the adversarial one is `adversarial.py`, for maps that are
trained already; the perceptual one is for images and is left out.

Reference: Kim et al., "Consistency Trajectory Models", 2023, arXiv:2310.02279, eq. 9-11.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Distillation, Losses, PathSample, scatter_terms
from geoflow.times import TimePairs, UniformPairs, expand_time
from geoflow.typing import Times


@dataclass(frozen=True, kw_only=True)
class ConsistencyTrajectory(Distillation):
    """Match two roads at the data.

    Reference: Kim et al., 2023, arXiv:2310.02279.
    """

    frozen: FlowMap | None = None
    """The teacher's map, whose diagonal is solved; None: the average's own, anchored to data."""
    reach: float = 0.2
    """Longest interval, in time, that is solved; longer ones are left to the map."""
    solver_steps: int = 1
    """First-order steps of the solver from t to s: those of DDIM for data prediction."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5, end=0.4))
    """Distribution of the pairs of times; s is uniform between t and r, or t and t + reach."""

    def __post_init__(self) -> None:
        """Check the solver.

        Raises:
            ValueError: for fewer than one step, or a reach outside (0, 1].
        """
        if not 0 < self.reach <= 1:
            raise ValueError(f"reach must be in (0, 1], got {self.reach}")
        if self.solver_steps < 1:
            raise ValueError(f"solver_steps must be at least 1, got {self.solver_steps}")

    def __call__(
        self,
        flow_map: FlowMap,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        cond: Condition | None = None,
        *,
        generator: torch.Generator | None = None,
        average: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1; `average` carries to the data."""
        sample = self.draw(flow_map, x0, x1, cond, generator)
        fraction = torch.rand(len(x1), generator=generator, dtype=x1.dtype).to(x1.device)
        on, off = sample.on, sample.off
        here, there = sample[on], sample[off]
        diagonal = here.field(flow_map) - here.conditional(flow_map)
        slow, r = average or flow_map, there.r
        s = there.t + fraction[off] * (r - there.t).clamp(max=self.reach)
        with torch.no_grad():
            solved = self._solve(self.frozen or slow, there, s)
            goal = _carry_to_data(slow, slow(solved, s, r, there.cond), r, there.cond)
        guess = flow_map(there.x, there.t, r, there.cond)
        error = _carry_to_data(slow, guess, r, there.cond) - goal
        return scatter_terms(
            len(sample),
            {
                "diagonal": (on, self.weight(flow_map, diagonal, here.t)),
                "map": (off, self.weight(flow_map, error, there.t)),
            },
        )

    def _solve(self, source: FlowMap, sample: PathSample, s: Times) -> Tensor:
        x, t = sample.x, sample.t
        for i in range(self.solver_steps):
            start = t + (s - t) * (i / self.solver_steps)
            end = t + (s - t) * ((i + 1) / self.solver_steps)
            field = source.field(x, start, start, sample.cond)
            x = source.apply_field(field, x, start, end)
        return x


def _carry_to_data(flow_map: FlowMap, x: Tensor, r: Times, cond: Condition | None) -> Tensor:
    """psi_{r->1}(x), differentiable in x and not in the weights; x itself at r = 1."""
    weights = {name: value.detach() for name, value in flow_map.named_parameters()}
    one = torch.ones_like(r)
    carried: Tensor = torch.func.functional_call(flow_map, weights, (x, r, one, cond))
    return torch.where(expand_time(r, like=x) == 1, x, carried)
