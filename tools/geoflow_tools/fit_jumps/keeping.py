"""What a map is to keep while its samples of names are trained against data: its other answers.

    L = E |m_{t->r}(x_t) - m*_{t->r}(x_t)|^2

m* being the map that was: of guided names and of points on the jumps of samples and on the
diagonal, of names and of anything on the diagonal alone, so that the ODE stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geoflow.condition import ANY, Condition
from geoflow.flow_map import FlowMap
from geoflow.models.latent import LatentGenerator
from geoflow.symmetry import upright_frame
from geoflow_tools.fit_jumps.solutions import Encoded

# Of the rows that may jump, so many are on the diagonal; of scans half are told their category.
_ON_DIAGONAL, _UNNAMED_SCANS = 0.35, 0.5
_UNNAMED = 1 / 3
_MOST_GUIDANCE = 4.0


def names(model: LatentGenerator[Any], category: Tensor) -> Condition:
    """What samples of categories are told: these, no weight and no points."""
    network, num = model.config.transformer, len(category)
    cond = Condition(upright_frame(model.config.symmetry, num), category)
    if network.guided:
        cond = replace(cond, guidance=torch.ones(num))
    if network.points:
        cond = replace(cond, tokens=torch.zeros(num, network.num_tokens, network.scalars))
    return cond


@dataclass
class Keeping:
    """Rows of a step by which the answers of `teacher` are kept."""

    model: LatentGenerator[Any]
    teacher: FlowMap
    data: Encoded
    scans: Encoded | None

    def loss(self, flow_map: FlowMap, num: int, steps: int, generator: torch.Generator) -> Tensor:
        """Mean square of what the field of the map has moved by, on the jumps of so many steps."""
        tokens, cond, jumps = self._rows(num, generator)
        grid = self.model.config.grid(steps).float()
        first = torch.randint(steps, (num,), generator=generator)
        anywhere, chance = torch.rand(2, num, generator=generator)
        diagonal = ~jumps | (chance < _ON_DIAGONAL)
        t = torch.where(diagonal, anywhere, grid[first])
        r = torch.where(diagonal, t, grid[first + 1])
        noise = torch.randn(tokens.shape, generator=generator)
        x = flow_map.interpolant.interpolate(noise, tokens, t)
        with torch.no_grad():
            goal = self.teacher.field(x, t, r, cond)
        return (flow_map.field(x, t, r, cond) - goal).square().mean()

    def _rows(self, num: int, generator: torch.Generator) -> tuple[Tensor, Condition, Tensor]:
        """Data, what the rows are told, and which of them may jump."""
        network = self.model.config.transformer
        chosen = torch.randint(len(self.data.category), (num,), generator=generator)
        tokens, cond = (
            self.data.tokens[chosen].float(),
            names(self.model, self.data.category[chosen]),
        )
        jumps = torch.zeros(num, dtype=torch.bool)
        if not network.guided:
            return tokens, cond, jumps
        assert cond.category is not None, "just named"
        third = num // 3
        category, weight = cond.category.clone(), torch.ones(num)
        place = torch.rand(third, generator=generator)
        weight[:third] = 1 / (1 - place * (1 - 1 / _MOST_GUIDANCE))
        jumps[:third] = True
        unnamed = torch.rand(num, generator=generator) < _UNNAMED
        unnamed[: 2 * third] = False
        if self.scans is not None:
            rows = slice(third, 2 * third)
            seen = torch.randint(len(self.scans.category), (third,), generator=generator)
            points = torch.zeros_like(tokens)
            points[rows] = self.scans.tokens[seen].float()
            tokens[rows], category[rows] = points[rows], self.scans.category[seen]
            unnamed[rows] = torch.rand(third, generator=generator) < _UNNAMED_SCANS
            jumps[rows] = True
            cond = replace(cond, tokens=points)
        category = torch.where(unnamed, ANY, category)
        return tokens, replace(cond, category=category, guidance=weight), jumps
