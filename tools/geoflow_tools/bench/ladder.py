"""One rung of the ladder: an objective in a cell, trained on data for a given time, measured.

A rung runs in a process of its own, on one thread, so that time and memory are its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from geoflow.backbones import MLP, MLPConfig
from geoflow.flow_map import FlowMap, Preconditioned
from geoflow.geometry.metrics import one_nn_accuracy
from geoflow.geometry.metrics.sets import NearestNeighbours
from geoflow.interpolant import INTERPOLANTS
from geoflow.objectives import (
    OBJECTIVES,
    SPECIAL_CASES,
    Cumulative,
    Objective,
    Pool,
    build_objective,
)
from geoflow.samplers import sample_consistency, sample_flow_map, sample_ode
from geoflow.training.ema import Ema
from geoflow_tools.bench.energy import energy_distance
from geoflow_tools.timed_training import Pairs, train_for

ODE_STEPS = 50
STEPS = (1, 2, 4, 8)
# These learn jumps to the data alone.
ENDS_ONLY = {"consistency", "trigflow"}


@dataclass(frozen=True)
class Rung:
    """What to train."""

    objective: str
    """Key of OBJECTIVES or SPECIAL_CASES."""
    interpolant: str = "linear"
    """Key of INTERPOLANTS."""
    prediction: str = "x1"
    """Key of PREDICTIONS."""
    derivative: str | None = None
    """For cumulative objectives: average, jvp or difference."""
    midpoint: bool = False
    """Split the averaging law in the middle, as `shortcut` does for u, and not at random."""
    pooled: bool = False
    """Average targets over a pool of data, and do not take those of single pairs."""

    @property
    def name(self) -> str:
        """Objective, derivative, path, prediction and targets in one word."""
        split = "midpoint" if self.midpoint else None
        targets = "pooled" if self.pooled else None
        cell = (self.interpolant, self.prediction)
        parts = (self.objective, self.derivative, split, *cell, targets)
        return " ".join(part for part in parts if part)

    def build(self) -> Objective:
        """The objective."""
        if self.derivative is not None:
            split = 0.5 if self.midpoint else None
            return Cumulative(derivative=self.derivative, split=split)  # type: ignore[arg-type]
        return build_objective(self.objective)


_CHOSEN = (
    Rung("flow-matching"),
    Rung("flow-matching", prediction="u"),
    Rung("cumulative", derivative="average"),
    Rung("cumulative", derivative="average", prediction="u"),
    Rung("cumulative", "vp", derivative="average"),
    Rung("cumulative", "ve", derivative="average"),
    Rung("cumulative", "trigonometric", "v", derivative="average"),
    Rung("cumulative", derivative="jvp"),
    Rung("cumulative", "ve", derivative="jvp"),
    Rung("cumulative", derivative="difference"),
    Rung("lagrangian"),
    Rung("eulerian"),
    Rung("progressive"),
    Rung("flow-map-matching", prediction="u"),
    Rung("consistency"),
    Rung("consistency-trajectory"),
    Rung("neural-operator"),
    Rung("mean-flow", prediction="u"),
    Rung("euler-mean-flow"),
    Rung("shortcut", prediction="u"),
    Rung("cumulative", derivative="average", midpoint=True),
    Rung("progressive-distillation", "vp"),
    Rung("trigflow", "trigonometric", "v"),
    Rung("improved-mean-flow", prediction="u"),
    Rung("data-free", prediction="u"),
    Rung("split-mean-flow", prediction="u"),
    Rung("alpha-flow", prediction="u"),
    Rung("soflow", prediction="u"),
    Rung("terminal-velocity-matching", prediction="u"),
    Rung("align-your-flow", prediction="u"),
    Rung("mid-training", prediction="u"),
    Rung("flow-matching", prediction="u", pooled=True),
    Rung("shortcut", prediction="u", pooled=True),
    Rung("cumulative", derivative="average", prediction="u", pooled=True),
    Rung("cumulative", derivative="average", pooled=True),
    Rung("mean-flow", prediction="u", pooled=True),
)
# What nobody chose a cell for stands on the ladder too.
_OTHERS = {*OBJECTIVES, *SPECIAL_CASES} - {rung.objective for rung in _CHOSEN}
RUNGS = (*_CHOSEN, *(Rung(name) for name in sorted(_OTHERS)))


@dataclass(frozen=True)
class Budget:
    """How long, and with what, every rung is trained."""

    seconds: float = 40.0
    """Time of the training on one free core: processor time, which other processes don't eat."""
    batch: int = 256
    """Examples of a step."""
    width: int = 128
    """Hidden channels of the perceptron."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW; it falls to zero by a half cosine of the time spent."""
    diagonal_first: float = 0.3
    """Share of the time, at its start, that is flow matching alone."""
    ema: float = 0.998
    """Decay of the moving average of the weights, which gives targets and samples."""
    pool: int = 1_024
    """Data that pooled targets are averaged over, those of the step among them."""


@dataclass(frozen=True)
class Climb:
    """A rung to train on the examples in a file."""

    rung: Rung
    path: Path
    budget: Budget
    seed: int = 0


def climb(task: Climb) -> dict[str, Any]:
    """Train a rung, and score its samples."""
    rung, path, budget = task.rung, task.path, task.budget
    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    stored = torch.load(path, weights_only=True)
    data, reference = stored["data"], stored["reference"]
    flow_map = build_map(rung, data, budget.width)
    pool = budget.pool if rung.pooled else 0
    steps, ema = train(flow_map, rung.build(), data, budget, seed=task.seed, pool=pool)
    ends_only = rung.objective in ENDS_ONLY
    scores = score(ema.module, reference, exact=stored.get("exact"), ends_only=ends_only)
    return {"training_steps": steps, **scores}


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the seeds of one rung; of several, their standard deviations and the runs too.

    None, for samples that are not finite, in one seed makes the mean None.
    """
    report: dict[str, Any] = {"training_steps": [run["training_steps"] for run in runs]}
    for measure in [name for name in runs[0] if name != "training_steps"]:
        values = {name: [run[measure][name] for run in runs] for name in runs[0][measure]}
        report[measure] = {name: _over_seeds(found, np.mean) for name, found in values.items()}
        if len(runs) > 1:
            report[f"{measure}_deviation"] = {
                name: _over_seeds(found, partial(np.std, ddof=1)) for name, found in values.items()
            }
            report[f"{measure}_runs"] = values
    return report


def _over_seeds(values: Sequence[float | None], reduce: Callable[[Any], Any]) -> float | None:
    return None if None in values else float(reduce(values))


def build_map(rung: Rung, data: Float[Tensor, "n d"], width: int) -> FlowMap:
    """The perceptron, as a map in the rung's cell; preconditioned where noise is far larger."""
    path = INTERPOLANTS[rung.interpolant]()
    backbone: torch.nn.Module = MLP(MLPConfig(size=data.shape[1], width=width))
    if rung.interpolant == "ve":
        backbone = Preconditioned(backbone, path, data_std=data.std().item())
    return FlowMap(backbone, path, rung.prediction)


def train(
    flow_map: FlowMap,
    objective: Objective,
    data: Float[Tensor, "n d"],
    budget: Budget,
    *,
    seed: int,
    pool: int = 0,
) -> tuple[int, Ema[FlowMap]]:
    """Train a map for a budget's time; the steps that it took, and the moving average.

    Args:
        flow_map: the map.
        objective: of what follows the share of flow matching.
        data: to draw from.
        budget: time, batch and rates.
        seed: of all draws.
        pool: data that targets are averaged over; 0: none.
    """

    def draw(generator: torch.Generator) -> Pairs:
        x1 = data[torch.randint(len(data), (budget.batch,), generator=generator)]
        x0 = torch.randn(x1.shape, generator=generator)
        if not pool:
            return Pairs(x0, x1)
        others = torch.randint(len(data), (pool - budget.batch,), generator=generator)
        return Pairs(x0, x1, pool=Pool(torch.cat([x1, data[others]])))

    return train_for(flow_map, objective, draw, budget, seed=seed)


@torch.no_grad()
def score(
    flow_map: FlowMap,
    reference: Float[Tensor, "n d"],
    *,
    exact: Float[Tensor, "n d"] | None,
    ends_only: bool,
) -> dict[str, dict[str, float | None]]:
    """Distances of samples to the data by number of evaluations, the best measure first.

    Root mean square distance to where the exact flow leads, if that is known; W2, energy distance
    and 1-NNA against the reference. None stands for samples that are not finite. Maps that know
    the end alone are sampled with fresh noise between jumps, which lead elsewhere than the flow.
    """
    noise = start_noise(reference)
    ends = {}
    for steps in STEPS:
        if ends_only:
            fresh = torch.Generator().manual_seed(3)
            *_, end = sample_consistency(flow_map, noise, steps=steps, generator=fresh)
        else:
            *_, end = sample_flow_map(flow_map, noise, steps=steps)
        ends[str(steps)] = end
    *_, ends[f"{ODE_STEPS} ode"] = sample_ode(flow_map, noise, steps=ODE_STEPS)
    scores = {} if exact is None else {"rms": {n: _rms(end, exact) for n, end in ends.items()}}
    return scores | {
        "w2": {name: wasserstein(end, reference) for name, end in ends.items()},
        "energy": {name: _energy(end, reference) for name, end in ends.items()},
        **_one_nna(ends, reference),
    }


def _one_nna(ends: Mapping[str, Tensor], reference: Tensor) -> dict[str, dict[str, float | None]]:
    """The accuracy, and those over samples and references, whose difference tells of scale."""
    found = {name: one_nna(end, reference) for name, end in ends.items()}
    names = {"value": "one_nna", "samples": "one_nna_samples", "references": "one_nna_references"}
    return {
        name: {k: None if e is None else getattr(e, part) for k, e in found.items()}
        for part, name in names.items()
    }


def start_noise(reference: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The noise from which every map is scored."""
    return torch.randn(reference.shape, generator=torch.Generator().manual_seed(2))


def _rms(end: Float[Tensor, "n d"], exact: Float[Tensor, "n d"]) -> float | None:
    distance = (end - exact).square().sum(1).mean().sqrt().item()
    return distance if math.isfinite(distance) else None


def _energy(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> float | None:
    return energy_distance(a.double(), b.double()) if bool(a.isfinite().all()) else None


def one_nna(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> NearestNeighbours | None:
    """Accuracy of telling two sets apart by the nearest neighbour: 0.5 for one distribution."""
    if not bool(a.isfinite().all()):
        return None
    x, y = a.double().numpy(), b.double().numpy()
    return one_nn_accuracy(cdist(x, x), cdist(y, y), cdist(x, y))


def wasserstein(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> float | None:
    """Exact Wasserstein-2 distance of two sets of one size; None if a point is not finite."""
    if not bool(a.isfinite().all()):
        return None
    cost = cdist(a.double().numpy(), b.double().numpy(), "sqeuclidean")
    rows, columns = linear_sum_assignment(cost)
    return float(np.sqrt(cost[rows, columns].mean()))
