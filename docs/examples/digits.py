"""A few-step flow map of images: the objectives of geoflow without any geometry.

    python docs/examples/digits.py --out digits.png

trains a plain perceptron on the 1,797 digits of 8 x 8 pixels that come with scikit-learn, draws
each class in 1, 2, 4 and 50 evaluations, and tells how many a nearest-neighbour classifier of the
data takes for what they should be. Needs the extra `examples`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from geoflow.backbones.mlp import MLP, MLPConfig
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import Linear
from geoflow.objectives import FlowMatching, build_objective
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow.training.ema import Ema

ODE_STEPS = 50


@dataclass(frozen=True)
class Options:
    """Train a flow map of digits and draw samples of it."""

    objective: str = "cumulative"
    """Any objective of the table."""
    steps: int = 6_000
    """Optimiser steps."""
    batch: int = 256
    """Images of a step."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    out: Path = Path("digits.png")
    """Picture to write."""


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels in [-1, 1] of shape (n, 1, 8, 8), and classes."""
    pixels, classes = load_digits(return_X_y=True)
    scaled = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 8 - 1
    return scaled, torch.from_numpy(classes).long()


def train(options: Options) -> FlowMap:
    """The moving average of a flow map, after a first third of plain flow matching."""
    torch.manual_seed(options.seed)
    data, classes = images()
    network = MLP(MLPConfig(size=64, width=256, blocks=4, num_categories=10))
    flow_map = FlowMap(network, Linear(), "x1")
    optimiser = torch.optim.AdamW(flow_map.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    ema = Ema(flow_map, 0.999)
    objective, warm_up = build_objective(options.objective), FlowMatching()
    for step in track(range(options.steps), description=options.objective):
        index = torch.randint(len(data), (options.batch,))
        x1, cond = data[index], Condition(category=classes[index])
        current = warm_up if step < options.steps / 3 else objective
        losses = current(flow_map, torch.randn_like(x1), x1, cond, average=ema.module)
        losses.total.mean().backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        ema.update(flow_map, step)
    return ema.module


@torch.no_grad()
def draw(flow_map: FlowMap, num: int, seed: int) -> dict[str, torch.Tensor]:
    """`num` samples of every class, by number of evaluations, from the same noise."""
    noise = torch.randn(10 * num, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    cond = Condition(category=torch.arange(10).repeat(num))
    rows = {}
    for steps in (1, 2, 4):
        *_, rows[str(steps)] = sample_flow_map(flow_map, noise, steps=steps, cond=cond)
    *_, rows[f"{ODE_STEPS} (ODE)"] = sample_ode(flow_map, noise, steps=ODE_STEPS, cond=cond)
    return rows


def recognised(rows: dict[str, torch.Tensor]) -> dict[str, float]:
    """Share of samples whose nearest neighbours in the data are of their class."""
    data, classes = images()
    judge = KNeighborsClassifier(3).fit(data.flatten(1).numpy(), classes.numpy())
    asked = np.arange(10)
    found = {}
    for name, samples in rows.items():
        answers = judge.predict(samples.flatten(1).numpy()).reshape(-1, 10)
        found[name] = float((answers == asked).mean())
    return found


def picture(rows: dict[str, torch.Tensor], path: Path) -> None:
    """Two samples of every class in a row for each number of evaluations."""
    figure = Figure(figsize=(10, 0.62 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (name, samples) in zip(axes, rows.items(), strict=True):
        tiles = torch.nn.functional.pad(samples[:20, 0], (1, 1, 1, 1), value=-1)
        axis.imshow(torch.cat(list(tiles), dim=1), cmap="gray_r", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=120)


def main(options: Options) -> None:
    """Train, draw, and print what is recognised."""
    flow_map = train(options)
    picture(draw(flow_map, 2, options.seed), options.out)
    print(json.dumps(recognised(draw(flow_map, 100, options.seed + 1)), indent=2))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
