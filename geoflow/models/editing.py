"""New shapes from a shape: through the flow of its latents, part of the way to noise and back.

Redrawn: the latent is mixed with noise, x_t = alpha_t x0 + beta_t x1, t = 1 - strength, and the map
brings it back to data in one to four evaluations.

Inverted: the ODE of the map's diagonal is followed back to the noise. Data prediction has no
velocity at the data itself; the way begins a little before, at beta_t x1. What the map makes of the
noise differs from the latent by a rest, which is kept and added again: the shape comes back
exactly.

References: Meng et al., "SDEdit", 2021, arXiv:2108.01073; inversion, Song et al., "Denoising
Diffusion Implicit Models", 2020, arXiv:2010.02502, section 4.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.models.meshes import FieldGenerator
from geoflow.seeds import great_circle
from geoflow.times import expand_time

INVERSION_STEPS = 16
"""Steps of Heun's method from the data to the noise, two evaluations each."""
# Where the way back begins.
_LAST = 0.95


@torch.no_grad()
def redraw(
    model: FieldGenerator,
    tokens: Float[Tensor, "b k c"],
    noise: Float[Tensor, "b k c"],
    *,
    strength: float,
    steps: int = 2,
    ode: bool = False,
    cond: Condition | None = None,
) -> Float[Tensor, "b k c"]:
    """Latents near others, in `steps` evaluations.

    Args:
        model: whose flow is used.
        tokens: the latents.
        noise: unit Gaussian.
        strength: share of the way to noise: 0 gives the latents back, 1 knows nothing of them.
        steps: applications of the flow map, along the rest of its grid.
        ode: follow the ODE of the diagonal, as the many-step reference.
        cond: as `FieldGenerator.condition` makes it; default: upright, of the first category.

    Raises:
        ValueError: for a strength out of [0, 1], steps < 1, or a model without a flow map.
    """
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must be in [0, 1], got {strength}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if strength == 0.0:
        return tokens
    cond = model.condition(len(tokens)) if cond is None else cond
    x = model.scale.normalise(tokens, cond.frame)
    begun = 1.0 - strength
    even = torch.linspace(begun, 1.0, steps + 1, dtype=torch.float64)
    grid = even if ode else model.config.grid(steps, begun)
    t = x.new_full((len(x),), float(grid[0]))
    noise = noise if ode else model.heated(noise, cond)
    path = model.flow_map.interpolant
    # A sampler starts at alpha_t x0: this x0 makes it start at the mixed latent.
    start = path.interpolate(noise, x, t) / expand_time(path.alpha(t), like=x)
    *_, last = model.trajectory(start, cond, ode=ode, times=grid, other=noise)
    return last


@dataclass(frozen=True)
class Inverted:
    """Latents as noise, and as what the map makes of it plus a rest."""

    noise: Float[Tensor, "b k c"]
    rest: Float[Tensor, "b k c"]


@torch.no_grad()
def invert(
    model: FieldGenerator,
    tokens: Float[Tensor, "b k c"],
    *,
    steps: int = 2,
    cond: Condition | None = None,
    inversion_steps: int = INVERSION_STEPS,
) -> Inverted:
    """The noise of latents, by the reversed ODE, and the rest for generation in `steps` steps.

    Raises:
        ValueError: for steps < 1, or a model without a flow map.
    """
    cond = model.condition(len(tokens)) if cond is None else cond
    flow = model.flow_map
    x = model.scale.normalise(tokens, cond.frame)
    x = expand_time(flow.interpolant.beta(_time(x, _LAST)), like=x) * x
    for start, end in pairwise(np.linspace(_LAST, 0.0, inversion_steps + 1).tolist()):
        t, r = _time(x, start), _time(x, end)
        slope = flow.velocity(x, t, cond)
        ahead = flow.velocity(x + (end - start) * slope, r, cond)
        x = x + (end - start) * (slope + ahead) / 2
    alpha = expand_time(flow.interpolant.alpha(_time(x, 0.0)), like=x)
    noise = x / alpha
    return Inverted(noise, tokens - model.sample_latents(noise, cond, steps=steps))


def between(
    model: FieldGenerator,
    inverted: Inverted,
    shares: Float[np.ndarray, " n"],
    *,
    steps: int = 2,
    cond: Condition | None = None,
) -> Iterator[Float[Tensor, "1 k c"]]:
    """Latents on the way from the first of two inverted latents to the second, ends included.

    Args:
        model: whose flow is used.
        inverted: of two latents.
        shares: of the way, in [0, 1].
        steps: evaluations for each latent; those of `invert`.
        cond: of one sample.
    """
    (a, b), rest = inverted.noise, inverted.rest
    for share in shares.tolist():
        noise = great_circle(a, b, share)[None]
        made = model.sample_latents(noise, cond, steps=steps)
        yield made + torch.lerp(rest[:1], rest[1:], share)


def _time(x: Float[Tensor, "b k c"], value: float) -> Float[Tensor, " b"]:
    return x.new_full((len(x),), value)
