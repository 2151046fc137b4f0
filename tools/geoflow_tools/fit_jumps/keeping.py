"""What a map is to keep while its samples of names are trained against data: its other answers.

    L = E |m_{t->r}(x_t) - m*_{t->r}(x_t)|^2

m* being the map that was: of guided names, of points, of anything and of names that there are no
data of, on the jumps of samples and on the diagonal; of the names themselves on the diagonal alone,
so that the ODE stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geoflow.condition import ANY, Condition
from geoflow.flow_map import FlowMap
from geoflow.models.latent import LatentGenerator
from geoflow_tools.fit_jumps.drawing import names
from geoflow_tools.fit_jumps.solutions import Encoded

# Of the rows that may jump, so many are on the diagonal; of scans half are told their category.
_ON_DIAGONAL, _UNNAMED_SCANS = 0.35, 0.5
# Of shapes without points that are no data, told nothing.
_UNNAMED = 0.4
# Names of less weight are next to those that are to move.
_LEAST_GUIDANCE, _MOST_GUIDANCE = 1.5, 4.0


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
        starts, ends = torch.tensor(self.model.config.jumps(steps), dtype=torch.float32).T
        first = torch.randint(steps, (num,), generator=generator)
        anywhere, chance = torch.rand(2, num, generator=generator)
        diagonal = ~jumps | (chance < _ON_DIAGONAL)
        t = torch.where(diagonal, anywhere, starts[first])
        r = torch.where(diagonal, t, ends[first])
        noise = torch.randn(tokens.shape, generator=generator)
        x = flow_map.interpolant.interpolate(noise, tokens, t)
        with torch.no_grad():
            goal = self.teacher.field(x, t, r, cond)
        return (flow_map.field(x, t, r, cond) - goal).square().mean()

    def _rows(self, num: int, generator: torch.Generator) -> tuple[Tensor, Condition, Tensor]:
        """Data, what the rows are told, and which of them may jump."""
        chosen = torch.randint(len(self.data.category), (num,), generator=generator)
        tokens, category = self.data.tokens[chosen].float(), self.data.category[chosen]
        cond = names(self.model, category)
        if not self.model.config.transformer.guided:
            return tokens, cond, torch.zeros(num, dtype=torch.bool)
        sixth = torch.arange(num) * 6 // num
        guided, through, others = sixth < 2, (sixth == 2) | (sixth == 3), sixth == 4
        chance, place = torch.rand(2, num, generator=generator)
        inverse = (1 - place) / _LEAST_GUIDANCE + place / _MOST_GUIDANCE
        weight = torch.where(guided, 1 / inverse, torch.ones(num))
        unnamed = others
        if self.scans is None:
            through = torch.zeros_like(through)
        else:
            (elsewhere,) = (~torch.isin(self.scans.category, self.data.category)).nonzero().T
            seen = torch.randint(len(self.scans.category), (num,), generator=generator)
            if len(elsewhere):
                unnamed = others & (chance < _UNNAMED)
                seen = torch.where(others, elsewhere[seen % len(elsewhere)], seen)
            is_scan = through | others
            tokens = torch.where(is_scan[:, None, None], self.scans.tokens[seen].float(), tokens)
            category = torch.where(is_scan, self.scans.category[seen], category)
            points = torch.where(through[:, None, None], tokens, torch.zeros(()))
            cond = replace(cond, tokens=points)
        unnamed = unnamed | (through & (chance < _UNNAMED_SCANS))
        category = torch.where(unnamed, ANY, category)
        told = replace(cond, category=category, guidance=weight)
        return tokens, told, guided | through | others
