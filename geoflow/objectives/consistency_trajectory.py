"""Consistency trajectory: where two roads to one time lead, seen from the end.

    psi_{t->r}(x_t)   against   psi_{s->r}(S_{t->s}(x_t)),      t <= s <= r

S is an ODE solver on a frozen velocity, or on the slow copy's own. Both are carried from r to 1
by the slow copy of the map and compared there, where errors are what is seen of them:

    L = E | psi-_{r->1}(psi_{t->r}(x_t)) - psi-_{r->1}(psi-_{s->r}(S_{t->s}(x_t))) |^2

The gradient passes through the first carrier's input, not its weights. On the diagonal, flow
matching. The adversarial and perceptual terms of the paper are for images and are left out.

Reference: Kim et al., "Consistency Trajectory Models", 2023, arXiv:2310.02279, eq. 9-11.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective, Weight, scatter_terms
from geoflow.times import TimePairs, UniformPairs, expand_time
from geoflow.typing import Times


@dataclass(frozen=True)
class ConsistencyTrajectory(Objective):
    """Match two roads at the data.

    Reference: Kim et al., 2023, arXiv:2310.02279.
    """

    frozen: FlowMap | None = None
    """Teacher whose diagonal is solved; None: the slow copy's own, anchored to the data."""
    reach: float = 0.2
    """Longest interval, in time, that is solved; longer ones are left to the map."""
    solver_steps: int = 1
    """First-order steps of the solver from t to s: those of DDIM for data prediction."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.5, end=0.4))
    """Law of the pairs of times; s is uniform between t and r, or t and t + reach."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example."""

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
        teacher: FlowMap | None = None,
    ) -> Losses:
        """Losses of noise x0 paired with data x1; `teacher` is the slow copy."""
        t, r = self.times.draw(x1, generator)
        fraction = torch.rand(len(x1), generator=generator, dtype=x1.dtype).to(x1.device)
        s = t + fraction * (r - t).clamp(max=self.reach)
        x = flow_map.interpolant.interpolate(x0, x1, t)
        (on,) = (r == t).nonzero(as_tuple=True)
        (off,) = (r > t).nonzero(as_tuple=True)
        here, there = (None, None) if cond is None else (cond[on], cond[off])
        diagonal = flow_map.field(x[on], t[on], t[on], here)
        diagonal = diagonal - flow_map.prediction.conditional(x0[on], x1[on], t[on])
        slow = teacher or flow_map
        with torch.no_grad():
            solved = self._solve(self.frozen or slow, x[off], t[off], s[off], there)
            goal = _carry_to_data(slow, slow(solved, s[off], r[off], there), r[off], there)
        guess = flow_map(x[off], t[off], r[off], there)
        error = _carry_to_data(slow, guess, r[off], there) - goal
        return scatter_terms(
            len(x),
            {
                "diagonal": (on, self.weight(flow_map, diagonal, t[on])),
                "map": (off, self.weight(flow_map, error, t[off])),
            },
        )

    def _solve(
        self, source: FlowMap, x: Tensor, t: Times, s: Times, cond: Condition | None
    ) -> Tensor:
        for i in range(self.solver_steps):
            start = t + (s - t) * (i / self.solver_steps)
            end = t + (s - t) * ((i + 1) / self.solver_steps)
            x = source.apply_field(source.field(x, start, start, cond), x, start, end)
        return x


def _carry_to_data(flow_map: FlowMap, x: Tensor, r: Times, cond: Condition | None) -> Tensor:
    """psi_{r->1}(x), differentiable in x and not in the weights; x itself at r = 1."""
    weights = {name: value.detach() for name, value in flow_map.named_parameters()}
    one = torch.ones_like(r)
    carried: Tensor = torch.func.functional_call(flow_map, weights, (x, r, one, cond))
    return torch.where(expand_time(r, like=x) == 1, x, carried)
