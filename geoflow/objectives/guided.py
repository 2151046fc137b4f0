"""Guidance built into a map: the targets of data, moved by what the map says of the category.

A conditional field m(x | c) is guided with weight g by g m(x | c) + (1 - g) m(x | any). A map that
learns this field, g being one of its inputs, needs one evaluation a step where guided sampling
needs two. The mean of the pair's field is m(x | c), so that

    m_pair + (g - 1) (m(x | c) - m(x | any))

has the guided field for its mean; both fields are the map's own at g = 1, under stop-gradient. It
leads through the same x_t: written as ends of a path, as pooled targets are, it serves every
objective, prediction and path.

Reference: Geng et al., "Mean Flows for One-step Generative Modeling", 2025, arXiv:2505.13447,
section 4.2; the weight as an input, Geng et al., "Improved Mean Flows", 2025, arXiv:2512.02012;
Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022, arXiv:2207.12598.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import ANY, Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import Interpolant
from geoflow.times import expand_time
from geoflow.typing import Times


@dataclass(frozen=True)
class Guide:
    """Moves the targets of examples whose `cond.guidance` is above 1."""

    flow_map: FlowMap
    """Whose fields are compared: the moving average of the one in training."""

    @torch.no_grad()
    def ends(
        self,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        t: Times,
        interpolant: Interpolant,
        cond: Condition | None = None,
    ) -> tuple[Float[Tensor, "b *s"], Float[Tensor, "b *s"]]:
        """Ends of a path through each pair's state at t, along the guided field there.

        Raises:
            ValueError: for examples without guidance or category.
        """
        if cond is None or cond.guidance is None or cond.category is None:
            raise ValueError("a guide needs cond.guidance and cond.category of every example")
        # At the data every field leads to them, and velocities may have no limit.
        (index,) = ((cond.guidance > 1) & (interpolant.alpha(t) > 0)).nonzero(as_tuple=True)
        if len(index) == 0:
            return x0, x1
        time, given = t[index], cond[index]
        x = interpolant.interpolate(x0[index], x1[index], time)
        plain = replace(given, guidance=torch.ones_like(given.guidance))  # type: ignore[arg-type]
        anything = replace(plain, category=torch.full_like(given.category, ANY))  # type: ignore[arg-type]
        weight = cond.guidance[index] - 1
        change = expand_time(weight / interpolant.area_rate(time), like=x) * (
            self.flow_map.velocity(x, time, plain) - self.flow_map.velocity(x, time, anything)
        )
        # alpha d(x0) + beta d(x1) = 0, and d(velocity) = alpha' d(x0) + beta' d(x1).
        alpha, beta = (expand_time(c(time), like=x) for c in (interpolant.alpha, interpolant.beta))
        return (
            x0.index_add(0, index, (-beta * change).to(x0.dtype)),
            x1.index_add(0, index, (alpha * change).to(x1.dtype)),
        )
