"""The last jumps of samples fitted to where a calibration moves them (`calibration`).

    L = E |psi(x) - T(psi*(x))|^2,    x the state before the last jump of a sample of psi*,

psi* being the map that was, and T of its samples of as many evaluations and the same category: the
calibration costs samples nothing. Answers to all but names alone are kept (`keeping`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from geoflow.models.latent import LatentGenerator
from geoflow.seeds import step_generator
from geoflow.training.ema import Ema
from geoflow.training.processes import ALONE, Processes
from geoflow_tools.fit_jumps.calibration import Calibration
from geoflow_tools.fit_jumps.drawing import before_last, names, sampled
from geoflow_tools.fit_jumps.keeping import Keeping
from geoflow_tools.fit_jumps.solutions import Encoded
from geoflow_tools.train_shapes.loops import Clock

# Numbers of evaluations of samples, two as often as both others.
_STEPS = (1, 2, 2, 4)
_AT_ONCE, _MOST = 96, 1_000
_EMA = 0.99
# Of the time, the last part over which the rate falls; steps over which it rises.
_FALL, _RISE = 0.6, 30


@dataclass
class Calibrating:
    """One fit of the flow map of `model`, which stays; `kept` gives what comes of it."""

    model: LatentGenerator[Any]
    keep_as: LatentGenerator[Any]
    """The model whose other answers are held."""
    data: Encoded
    scans: Encoded | None
    clock: Clock
    batch: int = 48
    num_samples: int = 768
    """Samples of a category and a number of evaluations, to which a calibration is fitted."""
    axes: int = 200
    keep: float = 0.5
    kept_rows: int = 8
    learning_rate: float = 3e-4
    emphasis: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    processes: Processes = ALONE
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Draw samples and fit the calibrations; each process knows all of them."""
        self._teacher = copy.deepcopy(self.model.flow_map).eval().requires_grad_(False)
        self.flow_map = copy.deepcopy(self._teacher).train().requires_grad_(True)
        self.average = Ema(self.flow_map, _EMA)
        teacher = copy.deepcopy(self.keep_as.flow_map).eval().requires_grad_(False)
        self.keeping = Keeping(self.model, teacher, self.data, self.scans)
        self._mover = torch.optim.AdamW(
            self.flow_map.parameters(), betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        self._categories = self.data.category.unique()
        self._chances = torch.tensor(
            [float(self.emphasis.get(self.model.categories[c], 1.0)) for c in self._categories]
        )
        self.calibrations = {
            (int(category), steps): self._calibration(category, steps)
            for category in self._categories
            for steps in sorted(set(_STEPS))
        }

    def run(self, told: Callable[[int, dict[str, float]], None]) -> int:
        """Fit until the time is over, with a word after each step; returns the steps.

        Raises:
            FloatingPointError: for losses that are not finite.
        """
        while (share := self._share()) < 1:
            losses = self._step(share)
            if not all(map(torch.isfinite, losses.values())):
                raise FloatingPointError(f"losses are {losses}: lower --learning-rate")
            self.step += 1
            told(self.step, {name: loss.item() for name, loss in losses.items()})
        return self.step

    def kept(self) -> LatentGenerator[Any]:
        """The model with the average of the weights."""
        model = copy.copy(self.model)
        model.flow_map = copy.deepcopy(self.average.module)
        return model

    def _share(self) -> float:
        own = self.clock.share if self.processes.is_first else 0.0
        return float(self.processes.total(torch.tensor(own, dtype=torch.float64)))

    @torch.no_grad()
    def _calibration(self, category: Tensor, steps: int) -> Calibration:
        data = self.data.tokens[self.data.category == category][:_MOST].float()
        generator = step_generator(self.seed, f"calibration {int(category)}", steps)
        rows = torch.full((self.num_samples,), int(category)).split(_AT_ONCE)
        samples = [
            sampled(self.model, self._teacher, names(self.model, some), steps, generator)
            for some in rows
        ]
        return Calibration.fit(data, torch.cat(samples), self.axes)

    def _step(self, share: float) -> dict[str, Tensor]:
        common = step_generator(self.seed, "evaluations", self.step)
        steps = _STEPS[int(torch.randint(len(_STEPS), (), generator=common))]
        generator = step_generator(self.seed, f"calibrating {self.processes.rank}", self.step)
        chosen = torch.multinomial(self._chances, self.batch, replacement=True, generator=generator)
        category = self._categories[chosen]
        cond = names(self.model, category)
        x, t, r = before_last(self.model, self._teacher, cond, steps, generator)
        with torch.no_grad():
            goal = self._teacher(x, t, r, cond)
            for index in category.unique():
                rows = category == index
                goal[rows] = self.calibrations[int(index), steps](goal[rows])
        losses = {"fitted": (self.flow_map(x, t, r, cond) - goal).square().mean()}
        losses["kept"] = self.keeping.loss(self.flow_map, self.kept_rows, steps, generator)
        (losses["fitted"] + self.keep * losses["kept"]).backward()
        parameters = list(self.flow_map.parameters())
        self.processes.share_gradients(parameters, self.processes.num)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        rate = self.learning_rate * min((self.step + 1) / _RISE, 1.0, (1 - share) / _FALL)
        for group in self._mover.param_groups:
            group["lr"] = rate
        self._mover.step()
        self._mover.zero_grad(set_to_none=True)
        self.average.update(self.flow_map, self.step)
        return losses
