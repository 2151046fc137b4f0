"""Samplers: from noise to data by applications of a flow map, or along its velocity.

All are generators: they yield the state at every time of the grid, noise first and data last,
so that a caller may draw the way, or stop. `steps` counts map applications, `nfe` network
evaluations.

References: Boffi et al., "Flow map matching", 2024, arXiv:2406.07507; Karras et al.,
"Elucidating the Design Space of Diffusion-Based Generative Models", 2022, arXiv:2206.00364,
algorithm 1 (Heun, with one evaluation in the last step).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.prediction import Data
from geoflow.times import expand_time

Method = Literal["euler", "heun"]
Landing = Literal["data", "velocity"]


def start_state(
    flow_map: FlowMap, x0: Float[Tensor, "b *s"], time: float = 0.0
) -> Float[Tensor, "b *s"]:
    """State at an early time of unit noise x0: alpha x0."""
    t = x0.new_full((len(x0),), time)
    return expand_time(flow_map.interpolant.alpha(t), like=x0) * x0


def check_start(flow_map: FlowMap, time: float, end: float) -> None:
    """Check that the map can jump from a time to a later one.

    Raises:
        ValueError: for a prediction that is singular there.
    """
    t, r = torch.tensor([[time], [end]], dtype=torch.float64)
    if not bool(torch.cat(flow_map.prediction.coefficients(t, r)).isfinite().all()):
        raise ValueError(
            f"{type(flow_map.prediction).__name__} prediction cannot start at time {time}, "
            "where the path holds no data; give times that start later"
        )


def sample_flow_map(
    flow_map: FlowMap,
    x0: Float[Tensor, "b *s"],
    *,
    steps: int = 2,
    cond: Condition | None = None,
    times: Float[Tensor, " n"] | None = None,
) -> Iterator[Float[Tensor, "b *s"]]:
    """Yield the states at the grid's times, noise first, data last; nfe = steps.

    Args:
        flow_map: the map.
        x0: unit Gaussian noise.
        steps: number of applications; ignored where `times` is given.
        cond: condition of each example.
        times: grid that rises to 1; default: `steps` equal intervals from 0.

    Raises:
        ValueError: if steps < 1, the grid does not rise to 1, or the map cannot start there.
    """
    grid = _grid(flow_map, steps, times)
    x = start_state(flow_map, x0, grid[0])
    yield x
    for t, r in pairwise(grid):
        x = flow_map(x, x.new_full((len(x),), t), x.new_full((len(x),), r), cond)
        yield x


def sample_ode(
    flow_map: FlowMap,
    x0: Float[Tensor, "b *s"],
    *,
    steps: int = 50,
    cond: Condition | None = None,
    method: Method = "euler",
    landing: Landing = "data",
    times: Float[Tensor, " n"] | None = None,
) -> Iterator[Float[Tensor, "b *s"]]:
    """Yield the states of an ODE solver at the grid's times, noise first, data last.

    Euler holds the instantaneous field over a step: the step of DDIM, and of EDM in its noise
    level, for data prediction, that of Euler for velocity prediction; first order, nfe = steps.
    Heun follows the velocity in the path's clock, time or on `ve` the noise level, and corrects it
    by that at the end of the step; second order, nfe = 2 steps - 1. Its last step cannot be
    corrected and goes to the data that the state is expected to become, so that no noise is left
    where data are thin. On `vp`, whose noise ends with infinite slope, this is of first order in
    the length of that step for data that are smooth; there landing="velocity" keeps the order, and
    leaves noise on thin data. On data thinner than a step the order is seen by shorter steps alone
    (but on `ve`, whose steps shorten with the noise): till then what is off is their thickness.

    Args:
        flow_map: the map, of which only the diagonal is used.
        x0: unit Gaussian noise.
        steps: number of steps; ignored where `times` is given.
        cond: condition of each example.
        method: solver.
        landing: of Heun's last step: on the expected data, or where the velocity leads.
        times: grid that rises to 1; default: `steps` equal intervals from 0.

    Raises:
        ValueError: if steps < 1, the grid does not rise to 1, the map cannot start there, or
            the method or the landing is unknown.
    """
    count_evaluations(method, steps)
    if landing not in get_args(Landing):
        raise ValueError(f"landing must be {' or '.join(get_args(Landing))}, got {landing!r}")
    grid = _grid(flow_map, steps, times)
    x = start_state(flow_map, x0, grid[0])
    yield x
    for start, end in pairwise(grid):
        t, r = x.new_full((len(x),), start), x.new_full((len(x),), end)
        field = flow_map.field(x, t, t, cond)
        if method == "euler":
            x = flow_map.apply_field(field, x, t, r)
        elif end == 1 and landing == "data":
            velocity = flow_map.prediction.velocity(field, x, t)
            x = Data(flow_map.interpolant).of_velocity(velocity, x, t)
        else:
            x = _heun_step(flow_map, field, x, t, r, cond)
        yield x


def _heun_step(
    flow_map: FlowMap, field: Tensor, x: Tensor, t: Tensor, r: Tensor, cond: Condition | None
) -> Tensor:
    path = flow_map.interpolant
    length, start, end = (
        expand_time(c, like=x)
        for c in (path.clock(r) - path.clock(t), path.clock_rate(t), path.clock_rate(r))
    )
    slope = flow_map.prediction.velocity(field, x, t) / start
    ahead = x + length * slope
    # For data prediction the velocity at r = 1 is 0 / 0: the last step goes uncorrected.
    if bool((r == 1).all()):
        return ahead
    return x + length * (slope + flow_map.velocity(ahead, r, cond) / end) / 2


def sample_states(
    flow_map: FlowMap,
    x0: Float[Tensor, "b *s"],
    *,
    ode: bool = False,
    steps: int = 2,
    cond: Condition | None = None,
    times: Float[Tensor, " n"] | None = None,
) -> Iterator[Float[Tensor, "b *s"]]:
    """As `sample_flow_map`, or, to compare with the ODE, as `sample_ode` by Euler's method."""
    sampler = sample_ode if ode else sample_flow_map
    return sampler(flow_map, x0, steps=steps, cond=cond, times=times)


def without_gradient(states: Iterator[Float[Tensor, "..."]]) -> Iterator[Float[Tensor, "..."]]:
    """Every state made without gradients; the caller's mode is its own between them."""
    while True:
        with torch.no_grad():
            state = next(states, None)
        if state is None:
            return
        yield state


def sample_consistency(
    flow_map: FlowMap,
    x0: Float[Tensor, "b *s"],
    *,
    steps: int = 2,
    cond: Condition | None = None,
    times: Float[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
    fresh: Callable[[int], Float[Tensor, "b *s"]] | None = None,
) -> Iterator[Float[Tensor, "b *s"]]:
    """Yield noise, then data after every jump to the end; nfe = steps.

    Between jumps the data is mixed with fresh noise again, back to the next time of the grid: the
    sampler of maps that know the end r = 1 alone.

    Reference: Song et al., "Consistency Models", 2023, arXiv:2303.01469, algorithm 1.

    Args:
        flow_map: the map.
        x0: unit Gaussian noise.
        steps: number of jumps; ignored where `times` is given.
        cond: condition of each example.
        times: grid that rises to 1, the last time being where every jump lands.
        generator: randomness of the fresh noise, on the CPU.
        fresh: the fresh noise of a jump, numbered from 1, instead of random noise.

    Raises:
        ValueError: if steps < 1, the grid does not rise to 1, or the map cannot start there.
    """
    grid = _grid(flow_map, steps, times)
    x = start_state(flow_map, x0, grid[0])
    yield x
    one = x.new_ones(len(x))
    for i, time in enumerate(grid[:-1]):
        t = torch.full_like(one, time)
        if i > 0:
            if fresh is None:
                other = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
            else:
                other = fresh(i)
            x = flow_map.interpolant.interpolate(other, x, t)
        x = flow_map(x, t, one, cond)
        yield x


def count_evaluations(method: Literal["map", "euler", "heun"], steps: int) -> int:
    """Network evaluations (nfe) of a sampler of `steps` steps.

    Raises:
        ValueError: for an unknown method.
    """
    if method == "map" or method == "euler":
        return steps
    if method == "heun":
        return 2 * steps - 1
    raise ValueError(f"method must be map, {', '.join(get_args(Method))}, got {method!r}")


def _grid(flow_map: FlowMap, steps: int, times: Tensor | None) -> list[float]:
    if times is None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    grid: list[float] = times.tolist()
    if len(grid) < 2 or grid[0] < 0 or grid[-1] != 1 or not bool((times.diff() > 0).all()):
        raise ValueError(f"times must rise from at least 0 to exactly 1, got {grid}")
    check_start(flow_map, grid[0], grid[1])
    return grid
