"""Whole solutions of a map's averaged ODE, and pairs of their states for the map to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.samplers import sample_ode

# Of the pairs, how many end at the data.
_TO_DATA = 0.5


def grid_of(steps: int, warp: float, generator: torch.Generator) -> Float[Tensor, " k1"]:
    """Times from 0 to 1, moved at random by less than a step; warp > 1 makes the last ones short.

    1 - (1 - u)^warp of u that are equally far apart, but for the first.
    """
    shift = torch.rand((), generator=generator)
    inner = (torch.arange(1, steps) - shift) / (steps - shift)
    u = torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])
    return 1 - (1 - u) ** warp


@dataclass(frozen=True)
class Solutions:
    """States of n solutions at k + 1 times."""

    states: Float[Tensor, "k1 n *s"]
    times: Float[Tensor, " k1"]

    @staticmethod
    @torch.no_grad()
    def solve(
        flow_map: FlowMap,
        noise: Float[Tensor, "n *s"],
        times: Float[Tensor, " k1"],
        cond: Condition | None = None,
    ) -> Solutions:
        """By Heun's method from noise at t = 0."""
        states = sample_ode(flow_map, noise, cond=cond, method="heun", times=times)
        return Solutions(torch.stack(list(states)), times.to(noise.device))

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.times) - 1

    def pairs(
        self, i: Int[Tensor, " m"], j: Int[Tensor, " m"], of: Int[Tensor, " m"] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States and times x_i, x_j, t_i, t_j of these solutions, or of each in turn."""
        if of is None:
            of = torch.arange(len(i), device=i.device) % self.states.shape[1]
        return self.states[i, of], self.states[j, of], self.times[i], self.times[j]

    def ends(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Indices of the pairs from noise to data, one of each solution."""
        zero = torch.zeros(self.states.shape[1], dtype=torch.long, device=self.states.device)
        return zero, zero + self.steps

    def random(
        self, rows: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
        """Indices i < j of random pairs, half of which end at the data."""
        first, second, end = torch.rand(3, rows, generator=generator, device=self.states.device)
        i = (first * self.steps).long()
        j = (i + 1 + (second * (self.steps - i)).long()).clamp(max=self.steps)
        return i, torch.where(end < _TO_DATA, self.steps, j)


def map_errors(
    flow_map: FlowMap,
    pairs: tuple[Tensor, Tensor, Tensor, Tensor],
    cond: Condition | None = None,
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m *s"]]:
    """Mean squares of the field's errors at pairs of one solution, and where its jumps land."""
    start, end, t, r = pairs
    field = flow_map.field(start, t, r, cond)
    error = field - flow_map.field_between(start, end, t, r)
    return error.square().flatten(1).mean(1), flow_map.apply_field(field, start, t, r)
