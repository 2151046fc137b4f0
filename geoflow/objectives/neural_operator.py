"""Neural operator: regress the whole solution of the ODE on where it starts.

    L = E | m_{0->r}(x_0) - sg(y_r) |^2,    P y_r + Q x_0 = S_{0->r}(x_0),    every r of a grid

S is Heun's solver on a frozen velocity, or on the average's own diagonal, which data trains at the
same time. The solution operator x_0 -> (psi_{0->r}(x_0))_r is learnt from pairs of input and
solution, as Fourier neural operators and DeepONets learn theirs; no law of the map is used, and
only jumps from noise are learnt: one step, to any time. `to_end` learns the jumps from every state
of the solution to its end, the targets of consistency mid-training, which starts a flow map from a
teacher's trajectories.

References: Li et al., "Fourier Neural Operator", 2020, arXiv:2010.08895; Lu et al., "DeepONet",
2019, arXiv:1910.03193; named as the baseline of distillation by Boffi et al., "Flow map
matching", 2024, arXiv:2406.07507; from all states to the end, Hu et al., "CMT: Mid-Training for
Efficient Learning of Consistency, Mean Flow, and Flow Map Models", 2025, arXiv:2509.24526.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Distillation, Losses, Weight, scatter_terms
from geoflow.samplers import Method, sample_ode
from geoflow.times import TimePairs, UniformPairs


@dataclass(frozen=True, kw_only=True)
class NeuralOperator(Distillation):
    """Learn the solution operator of the ODE from its solutions."""

    frozen: FlowMap | None = None
    """The teacher's map, whose diagonal is solved; None: the average's own, anchored to data."""
    solver_steps: int = 8
    """Steps of the solver, whose times are the ends that are learnt, moved at random."""
    method: Method = "heun"
    """Solver."""
    to_end: bool = False
    """Learn the jumps from all states of a solution to its end, not from its start to all."""
    times: TimePairs = field(default_factory=lambda: UniformPairs(diagonal=0.75))
    """Distribution of the pairs: on the diagonal, flow matching; the others start at t = 0."""
    weight: Weight = field(default_factory=Weight)
    """Weight of an example, by its start."""

    def __post_init__(self) -> None:
        """Check the number of steps.

        Raises:
            ValueError: for fewer than one.
        """
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
        """Losses of noise x0 paired with data x1; `average` is solved, unless `frozen` is.

        Raises:
            ValueError: for a prediction that cannot start at t = 0, such as x0.
        """
        sample = self.draw(flow_map, x0, x1, cond, generator)
        source = self.frozen or average or flow_map
        on, off = sample.on, sample.off
        here, there = sample[on], sample[off]
        error = here.field(flow_map) - here.conditional(flow_map)
        diagonal = self.weight(flow_map, error, here.t)
        whole = self._solution_loss(flow_map, source, x0[off], there.cond, generator)
        return scatter_terms(len(sample), {"diagonal": (on, diagonal), "map": (off, whole)})

    def _solution_loss(
        self,
        flow_map: FlowMap,
        source: FlowMap,
        noise: Tensor,
        cond: Condition | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Mean over the solver's times of the loss of each trajectory."""
        num = self.solver_steps
        shift = torch.rand((), generator=generator, dtype=torch.float64)
        inner = (torch.arange(1, num, dtype=torch.float64) - shift) / num
        grid = torch.cat([shift.new_zeros(1), inner, shift.new_ones(1)])
        with torch.no_grad():
            solution = sample_ode(source, noise, cond=cond, method=self.method, times=grid)
            states = list(solution)
        ends = range(num + 1)
        jumps = [(i, num) for i in ends[:-1]] if self.to_end else [(0, j) for j in ends[1:]]
        losses = []
        for i, j in jumps:
            t, r = (noise.new_full((len(noise),), grid[k].item()) for k in (i, j))
            target = flow_map.field_between(states[i], states[j], t, r)
            output = flow_map.field(states[i], t, r, cond)
            losses.append(self.weight(flow_map, output - target, t))
        return torch.stack(losses).mean(0)
