"""The last jumps of samples fitted to where a calibration moves them (`calibration`).

    L = E |psi(x) - T(psi*(x))|^2,    x the state before the last jump of a sample of psi*,

psi* being the map that was, and T of its samples of as many evaluations and the same category: the
calibration costs samples nothing. Answers to all but names alone are kept (`keeping`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geoflow.seeds import step_generator
from geoflow_tools.fit_jumps.calibration import Calibration
from geoflow_tools.fit_jumps.drawing import before_last, names, sampled
from geoflow_tools.fit_jumps.map_training import STEPS, MapTraining

# Of a category, samples that are drawn at once, and most data that a calibration is fitted to.
_AT_ONCE, _MOST = 96, 1_000
# Of the time, the last part over which the rate falls; steps over which it rises.
_FALL, _RISE = 0.6, 30
_BETAS, _CLIP = (0.9, 0.98), 1.0


@dataclass(kw_only=True)
class Calibrating(MapTraining):
    """Samples moved to the data's mean and spread."""

    average_decay = 0.99

    batch: int = 48
    learning_rate: float = 3e-4
    kept_rows: int = 8
    keep: float = 0.5
    num_samples: int = 768
    """Samples of a category and a number of evaluations, to which a calibration is fitted."""
    num_axes: int = 200
    """Principal axes of a category's data."""

    def __post_init__(self) -> None:
        """Draw samples and fit the calibrations, the same in every process.

        Raises:
            ValueError: for an emphasis below 0, or one that draws nothing, or too few data.
        """
        super().__post_init__()
        parameters = self.flow_map.parameters()
        self.movers = {
            "map": torch.optim.AdamW(parameters, betas=_BETAS, weight_decay=0.0, fused=True)
        }
        self.calibrations = {
            (int(category), steps): self._calibration(category, steps)
            for category in self._categories
            for steps in sorted(set(STEPS))
        }

    def take_step(self, steps: int, share: float, generator: torch.Generator) -> dict[str, Tensor]:
        """One of the map."""
        category = self.draw_categories(generator)
        cond = names(self.model, category)
        x, t, r = before_last(self.model, self.teacher, cond, steps, generator)
        with torch.no_grad():
            goal = self.teacher(x, t, r, cond)
            for index in category.unique():
                rows = category == index
                goal[rows] = self.calibrations[int(index), steps](goal[rows])
        losses = {"fitted": (self.flow_map(x, t, r, cond) - goal).square().mean()}
        losses["kept"] = self.keeping.loss(self.flow_map, self.kept_rows, steps, generator)
        rate = self.learning_rate * min((self.step + 1) / _RISE, 1.0, (1 - share) / _FALL)
        whole = losses["fitted"] + self.keep * losses["kept"]
        self.move("map", self.flow_map, whole, rate, _CLIP)
        self.average.update(self.flow_map, self.step)
        return losses

    @torch.no_grad()
    def _calibration(self, category: Tensor, steps: int) -> Calibration:
        data = self.data.tokens[self.data.category == category][:_MOST].float()
        generator = step_generator(self.seed, f"calibration {int(category)}", steps)
        rows = torch.full((self.num_samples,), int(category)).split(_AT_ONCE)
        samples = [
            sampled(self.model, self.teacher, names(self.model, some), steps, generator)
            for some in rows
        ]
        return Calibration.fit(data, torch.cat(samples), self.num_axes)
