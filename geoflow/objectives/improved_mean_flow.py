"""Improved MeanFlow: regress on the data's field, the derivative of the field held fixed.

    L = E | Q m_{t->r} - sg(C D m_{t->r} + S x) - Q m_t(x_t | x0, x1) |^2

with D along the map's own velocity. Reference: Geng et al., 2025, arXiv:2512.02012.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Losses, Objective
from geoflow.objectives.cumulative import cumulative_residual, derivative_jvp


@dataclass(frozen=True, kw_only=True)
class ImprovedMeanFlow(Objective):
    """Regress the conditional field, the derivative held fixed."""

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
        """Losses of noise x0 paired with data x1; the average is not used."""
        sample = self.draw(flow_map, x0, x1, cond, generator)
        x, t, r = sample.x, sample.t, sample.r
        with torch.no_grad():
            velocity = flow_map.velocity(x, t, cond)
            slope = derivative_jvp(flow_map, x, velocity, t, r, cond)
        output, goal = sample.field(flow_map), sample.conditional(flow_map)
        error = cumulative_residual(flow_map, output, goal, slope, x, t, r)
        return Losses.split(self.weight(flow_map, error, t), sample.is_apart)
