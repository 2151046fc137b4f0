"""DDPM's ancestral sampler and DDIM, on the variance-preserving path: what few steps compete with.

References: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, arXiv:2006.11239; Song
et al., "Denoising Diffusion Implicit Models", 2020, arXiv:2010.02502, eq. 12.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.times import expand_time

FIRST = 0.0985
"""Where DDPM's schedule starts: the signal left at its last step is exp(-5.02), not zero."""
# Norm that predicted data is held to, for points of about unit variance.
_LIMIT = 4.0


@torch.no_grad()
def sample_diffusion(
    flow_map: FlowMap,
    noise: Float[Tensor, "b k d"],
    *,
    steps: int,
    ancestral: bool,
    generator: torch.Generator,
) -> Float[Tensor, "b k d"]:
    """Data from noise by DDPM's ancestral sampler, or by DDIM, on the path alpha^2 + beta^2 = 1.

        x_r = beta_r x1 + sqrt(alpha_r^2 - s^2) x0 + s z,
        s^2 = (alpha_r / alpha_t)^2 (1 - (beta_t / beta_r)^2), or 0 for DDIM,

    with x1 and x0 the data and noise that the network predicts at t; nfe = steps.

    Args:
        flow_map: its field at single times is what is used.
        noise: unit noise that it starts from.
        steps: evaluations; of a network trained on all times any number may be taken.
        ancestral: add DDPM's fresh noise in every step but the last.
        generator: of the fresh noise.
    """
    path, x = flow_map.interpolant, noise
    for start, end in pairwise(torch.linspace(FIRST, 1.0, steps + 1).tolist()):
        t, r = x.new_full((len(x),), start), x.new_full((len(x),), end)
        alpha_t, beta_t, alpha_r, beta_r = (
            expand_time(time, like=x)
            for time in (path.alpha(t), path.beta(t), path.alpha(r), path.beta(r))
        )
        x1 = flow_map.apply_field(flow_map.field(x, t, t), x, t, torch.ones_like(t))
        x1 = x1 * (_LIMIT / x1.norm(dim=-1, keepdim=True).clamp(min=_LIMIT))
        x0 = (x - beta_t * x1) / alpha_t
        variance = (alpha_r / alpha_t).square() * (1 - (beta_t / beta_r).square())
        if not ancestral:
            variance = torch.zeros_like(variance)
        fresh = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = beta_r * x1 + (alpha_r.square() - variance).clamp(min=0).sqrt() * x0
        x = x + variance.sqrt() * fresh
    return x
