"""The flow map fitted to pairs of states of its teacher's solutions.

    L = E |m_{t->r}(y_t) - m*(y_t, y_r)|^2,    psi_{t->r}(y_t) = y_r if m_{t->r} = m*

over pairs (t, r) of the jumps that samples of one, two and four evaluations take, and a few others;
an eighth of the rows hold the diagonal where the teacher has it, so that its ODE stays.

What is kept lies between the weights that were and those that are fitted, which follow the
solutions that they saw more closely than others.

References: from all states of stored trajectories, Hu et al., "CMT: Mid-Training for Efficient
Learning of Consistency, Mean Flow, and Flow Map Models", 2025, arXiv:2509.24526; weights between,
Wortsman et al., "Robust fine-tuning of zero-shot models", 2021, arXiv:2109.01903.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.models.latent import LatentGenerator
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser
from geoflow.training.precision import autocast, is_bf16
from geoflow_tools.fit_jumps.solutions import BLOCK, StoredSolutions
from geoflow_tools.train_clouds.timed import TimedSchedule
from geoflow_tools.train_shapes.loops import Clock

HELD_OUT = 10 * BLOCK
"""Solutions that are judged by, and not fitted."""
# Shares of the rows by the number of evaluations whose jumps they are of; the rest are any pairs.
_SHARES = {1: 0.2, 2: 0.43, 4: 0.27}
_ON_DIAGONAL = 8
_EMA = 0.998
# The average starts at trained weights, which it need not forget at once.
_AVERAGED = 2000
_READ_EVERY = 100


def jumps(model: LatentGenerator[Any], times: Tensor) -> dict[int, list[tuple[int, int]]]:
    """Of each number of evaluations the jumps of a sample, as indices of the solver's times."""
    found = {}
    for steps in _SHARES:
        places = [int((times - t).abs().argmin()) for t in model.config.grid(steps)]
        found[steps] = list(itertools.pairwise(places))
    return found


@torch.no_grad()
def lag(
    flow_map: FlowMap, model: LatentGenerator[Any], solutions: StoredSolutions
) -> dict[int, float]:
    """How far samples of the map end from the held-out solutions, relative, by evaluations."""
    states, cond = solutions.take(np.arange(HELD_OUT))
    assert solutions.times is not None, "read"
    times, end = solutions.times, states[:, -1].flatten(1)
    found = {}
    for steps, pairs in jumps(model, times).items():
        x = states[:, 0]
        for i, j in pairs:
            x = flow_map(x, times[i].expand(len(x)), times[j].expand(len(x)), cond)
        found[steps] = float(((x.flatten(1) - end).norm(dim=1) / end.norm(dim=1)).mean())
    return found


@dataclass
class Fit:
    """One fit of the flow map of `model`, which stays as it is; `kept` gives what comes of it."""

    model: LatentGenerator[Any]
    solutions: StoredSolutions
    clock: Clock
    batch: int
    learning_rate: float
    share: float
    """Of the way from the weights that were to those that are fitted, that is gone."""
    seed: int
    begun: LatentGenerator[Any] | None = None
    """A fit of before, to go on from; None: from the weights that were."""

    def __post_init__(self) -> None:
        self.teacher = copy.deepcopy(self.model.flow_map).eval().requires_grad_(False)
        begun = self.model if self.begun is None else self.begun
        self.flow_map = copy.deepcopy(begun.flow_map).train().requires_grad_(True)
        self.average = Ema(self.flow_map, _EMA)
        schedule = TimedSchedule(self.learning_rate, warmup=100, clock=self.clock)
        self.optimiser = Optimiser(self.flow_map, schedule, bf16=is_bf16(None, "cpu"))
        self.rng = np.random.default_rng(self.seed)
        assert self.solutions.times is not None, "read"
        by_steps = jumps(self.model, self.solutions.times)
        self._pairs = [pair for pairs in by_steps.values() for pair in pairs]
        self._chances = np.concatenate(
            [np.full(len(pairs), _SHARES[steps] / len(pairs)) for steps, pairs in by_steps.items()]
        )

    def run(self, told: Callable[[int, float], None]) -> int:
        """Fit until the time is over, reading new solutions on the way; returns the steps.

        Raises:
            FloatingPointError: for a loss that is not finite.
        """
        step = 0
        for step in self.clock.steps():
            if step % _READ_EVERY == 0:
                self.solutions.read()
            loss = self._loss()
            if not loss.isfinite():
                raise FloatingPointError(f"loss is {loss.item()}: lower --learning-rate")
            loss.backward()
            self.optimiser.step(step, step + 1)
            self.average.update(self.flow_map, step + _AVERAGED)
            told(step + 1, loss.item())
        return step + 1

    def kept(self) -> LatentGenerator[Any]:
        """The model with weights between those that were and the average of the fitted ones."""
        model = copy.copy(self.model)
        model.flow_map = copy.deepcopy(self.average.module)
        with torch.no_grad():
            pairs = zip(model.flow_map.parameters(), self.teacher.parameters(), strict=True)
            for fitted, before in pairs:
                fitted.lerp_(before, 1 - self.share)
        return model

    def _loss(self) -> Tensor:
        rows = self.rng.integers(HELD_OUT, len(self.solutions), size=self.batch)
        states, cond = self.solutions.take(rows)
        i, j = self._indices(states.shape[1])
        times, at = self.solutions.times, torch.arange(self.batch)
        assert times is not None, "read"
        x, t, r = states[at, i], times[i], times[j].clone()
        goal = self.teacher.field_between(x, states[at, j], t, r)
        first = slice(0, self.batch // _ON_DIAGONAL)
        r[first] = t[first]
        with torch.no_grad(), autocast(None, "cpu"):
            goal[first] = self.teacher.field(x[first], t[first], t[first], cond[first]).float()
        with autocast(None, "cpu"):
            field = self.flow_map.field(x, t, r, cond)
        return (field.float() - goal).square().mean()

    def _indices(self, num_times: int) -> tuple[Tensor, Tensor]:
        which = self.rng.choice(
            len(self._pairs) + 1, self.batch, p=np.append(self._chances, 1 - self._chances.sum())
        )
        pairs = [self._pairs[k] if k < len(self._pairs) else self._any(num_times) for k in which]
        first, second = torch.tensor(pairs).T
        return first, second

    def _any(self, num_times: int) -> tuple[int, int]:
        first = int(self.rng.integers(num_times - 1))
        return first, int(self.rng.integers(first + 1, num_times))


def wait_for(solutions: StoredSolutions, num: int, seconds: float = 5.0) -> None:
    """Read until so many solutions are there."""
    solutions.read()
    while len(solutions) < num:
        time.sleep(seconds)
        solutions.read()
