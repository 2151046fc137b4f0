"""The last jumps of samples fitted to where these are to be: calibrated, and then drifted.

    L = E |psi(x) - T(psi*(x))|^2,    x the state before the last jump of a sample of psi*,

psi* being the map that was, and T (`calibration`, and `drift` after it) of its samples of as many
evaluations and the same category: none of it costs samples anything. A map follows T by a part of
its way, so that it may be taken on from where it came to; it learns more of new samples than of old
ones seen again, which is why each step draws its own. Answers to all but names alone are kept
(`keeping`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geoflow.seeds import step_generator
from geoflow.training.muon import Muon
from geoflow.training.optimisation import hidden_matrices
from geoflow_tools.fit_jumps.calibration import Calibration, principal_axes
from geoflow_tools.fit_jumps.drawing import before_last, names, sampled
from geoflow_tools.fit_jumps.drift import Drift
from geoflow_tools.fit_jumps.map_training import STEPS, MapTraining

# Samples that are drawn at once.
_AT_ONCE = 100
# Of the time, the last part over which the rate falls; steps over which it rises.
_FALL, _RISE = 0.6, 30
_BETAS, _CLIP = (0.9, 0.98), 1.0


@dataclass(kw_only=True)
class Calibrating(MapTraining):
    """Samples moved to the data's mean and spread, and then to the data."""

    average_decay = 0.99
    settles = True

    batch: int = 64
    learning_rate: float = 5e-4
    kept_rows: int = 8
    keep: float = 0.5
    most: int = 5_000
    """Data of a category, at most."""
    sets: int = 2
    """Of as many samples, which drift each by themselves."""
    num_axes: int = 200
    """Principal axes of a category's data."""

    def __post_init__(self) -> None:
        """Draw samples and fit the calibrations, the same in every process.

        Raises:
            ValueError: for an emphasis below 0, or one that draws nothing, or too few data.
        """
        super().__post_init__()
        hidden = hidden_matrices(self.flow_map)
        named = list(self.flow_map.named_parameters())
        others = [p for name, p in named if name not in hidden]
        self.movers = {
            "matrices": Muon([p for name, p in named if name in hidden], weight_decay=0.0),
            "others": torch.optim.AdamW(others, betas=_BETAS, weight_decay=0.0, fused=True),
        }
        self.ways: dict[tuple[int, int], tuple[Calibration, Drift]] = {}
        for category in self._categories:
            data = self.data.tokens[self.data.category == category][: self.most].float()
            principal = principal_axes(data, self.num_axes)
            for steps in sorted(set(STEPS)):
                samples = self._samples(category, steps, self.sets * len(data))
                calibration = Calibration.fit(data, samples, principal)
                drift = Drift.fit(data, calibration(samples), calibration.axes)
                self.ways[int(category), steps] = calibration, drift

    def take_step(self, steps: int, share: float, generator: torch.Generator) -> dict[str, Tensor]:
        """One of the map."""
        category = self.draw_categories(generator)
        cond = names(self.model, category)
        x, t, r = before_last(self.model, self.teacher, cond, steps, generator)
        with torch.no_grad():
            goal = self.teacher(x, t, r, cond)
            for index in category.unique():
                rows = category == index
                calibration, drift = self.ways[int(index), steps]
                goal[rows] = drift(calibration(goal[rows]))
        losses = {"fitted": (self.flow_map(x, t, r, cond) - goal).square().mean()}
        losses["kept"] = self.keeping.loss(self.flow_map, self.kept_rows, steps, generator)
        rate = self.learning_rate * min((self.step + 1) / _RISE, 1.0, (1 - share) / _FALL)
        whole = losses["fitted"] + self.keep * losses["kept"]
        self.move(self.flow_map, whole, rate, _CLIP, "matrices", "others")
        self.average.update(self.flow_map, self.step)
        return losses

    @torch.no_grad()
    def _samples(self, category: Tensor, steps: int, num: int) -> Tensor:
        """Of one category; the processes share them out."""
        samples = torch.zeros(num, *self.data.tokens.shape[1:])
        for number, rows in enumerate(torch.arange(num).split(_AT_ONCE)):
            if number % self.processes.num == self.processes.rank:
                noise = step_generator(self.seed, f"calibration {int(category)} {steps}", number)
                cond = names(self.model, category.repeat(len(rows)))
                samples[rows] = sampled(self.model, self.teacher, cond, steps, noise)
        return self.processes.total(samples)
