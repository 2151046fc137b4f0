"""From noise to data: a few applications of the flow map, or many steps of the ODE.

References: flow maps, Boffi et al., 2024, arXiv:2406.07507; Euler and Heun for the
probability-flow ODE, Karras et al., 2022, arXiv:2206.00364, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.times import expand_time
from geoflow.typing import Condition

Method = Literal["euler", "heun"]


def start_state(flow_map: FlowMap, x0: Float[Tensor, "b *s"]) -> Float[Tensor, "b *s"]:
    """State at t = 0 of unit noise x0: alpha_0 x0."""
    t = x0.new_zeros(len(x0))
    return expand_time(flow_map.interpolant.alpha(t), like=x0) * x0


def sample_flow_map(
    flow_map: FlowMap,
    x0: Float[Tensor, "b *s"],
    *,
    steps: int = 2,
    cond: Condition | None = None,
    times: Float[Tensor, " n"] | None = None,
) -> Iterator[Float[Tensor, "b *s"]]:
    """Yield the states at the grid's times, noise first, data last; `steps` network evaluations.

    Args:
        flow_map: the map.
        x0: unit Gaussian noise.
        steps: number of applications; ignored where `times` is given.
        cond: condition of each example.
        times: grid from 0 to 1; default: `steps` equal intervals.

    Raises:
        ValueError: if steps < 1, or the grid does not rise from 0 to 1.
    """
    grid = _grid(steps, times)
    x = start_state(flow_map, x0)
    yield x
    for t, r in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        x = flow_map(x, x.new_full((len(x),), t), x.new_full((len(x),), r), cond)
        yield x


def sample_ode(
    flow_map: FlowMap,
    x0: Float[Tensor, "b *s"],
    *,
    steps: int = 50,
    cond: Condition | None = None,
    method: Method = "euler",
) -> Iterator[Float[Tensor, "b *s"]]:
    """Yield the states of the ODE solver on a uniform grid, noise first, data last.

    Network evaluations: `steps` for Euler, 2 steps - 1 for Heun, whose last step is an Euler
    step since velocities may be singular at the data.

    Raises:
        ValueError: if steps < 1 or the method is unknown.
    """
    if method not in ("euler", "heun"):
        raise ValueError(f"method must be 'euler' or 'heun', got {method!r}")
    grid = _grid(steps, None).tolist()
    x = start_state(flow_map, x0)
    yield x
    for i, (t, r) in enumerate(zip(grid[:-1], grid[1:], strict=True)):
        here = x.new_full((len(x),), t)
        slope = flow_map.velocity(x, here, cond)
        ahead = x + (r - t) * slope
        if method == "heun" and i < steps - 1:
            there = x.new_full((len(x),), r)
            slope = (slope + flow_map.velocity(ahead, there, cond)) / 2
            ahead = x + (r - t) * slope
        x = ahead
        yield x


def _grid(steps: int, times: Tensor | None) -> Tensor:
    if times is None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        return torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    ends = (float(times[0]), float(times[-1]))
    if len(times) < 2 or ends != (0.0, 1.0) or not bool((times.diff() > 0).all()):
        raise ValueError(f"times must rise from 0 to 1, got {times.tolist()}")
    return times
