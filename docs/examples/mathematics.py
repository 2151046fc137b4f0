"""The figure of docs/mathematics.md: a flow, its map, and targets of pairs and pools.

Data are two blobs on a line, whose flow is known exactly, so that nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoflow.interpolant import Linear
from geoflow.objectives import FlowMatching, Pool
from geoflow.oracles.mixture import MixtureField

NUM = 400
TIMES = (0.1, 0.45, 1.0)


@dataclass(frozen=True)
class Options:
    """Draw the figure."""

    out: Path = Path("mathematics.png")
    """Picture to write."""


def main(options: Options) -> None:
    """Three panels: trajectories, jumps of one of them, and velocities to learn from."""
    parts = torch.tensor([[0.4, 0.6], [-1.3, 1.0], [0.12, 0.2]], dtype=torch.float64)
    oracle = MixtureField(*parts, Linear(), "u")
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_flow(left, oracle)
    draw_jumps(middle, oracle)
    draw_targets(right, oracle)
    figure.savefig(options.out, dpi=110)


def flow(oracle: MixtureField, x: torch.Tensor, t: float, times: torch.Tensor) -> torch.Tensor:
    """States of trajectories through x at t, one row a time."""
    start = torch.full((len(x),), t, dtype=torch.float64)
    rows = [oracle.flow(x[:, None], start, start * 0 + time)[:, 0] for time in times]
    return torch.stack(rows)


def draw_flow(axis: Axes, oracle: MixtureField) -> None:
    """Straight paths of pairs, which cross, and trajectories, which do not."""
    generator = torch.Generator().manual_seed(3)
    x0 = torch.randn(30, dtype=torch.float64, generator=generator)
    x1 = oracle.sample(30, 1, generator=generator)[:, 0]
    axis.plot([0, 1], torch.stack([x0, x1]), color="0.75", linewidth=0.8)
    times = torch.linspace(0, 1, 60, dtype=torch.float64)
    starts = torch.linspace(-2.2, 2.2, 15, dtype=torch.float64)
    axis.plot(times, flow(oracle, starts, 0.0, times), color="C0", linewidth=1.4)
    axis.set(title="pairs cross (grey), trajectories do not", xlabel="t", ylabel="x")


def draw_jumps(axis: Axes, oracle: MixtureField) -> None:
    """One jump from t to r, and two whose stop is s: fields are slopes of chords."""
    t, s, r = TIMES
    x = torch.tensor([-0.28], dtype=torch.float64)
    times = torch.linspace(0, 1, 200, dtype=torch.float64)
    axis.plot(times, flow(oracle, x, t, times), color="C0", linewidth=1.4)
    stops = flow(oracle, x, t, torch.tensor([t, s, r], dtype=torch.float64))[:, 0]
    axis.plot([t, r], stops[[0, 2]], color="C3", label="one jump: m(t→r)")
    axis.plot([t, s, r], stops, color="C2", label="two: m(t→s), m(s→r)")
    axis.plot([t, s, r], stops, "o", color="black", markersize=5)
    for name, time, state in zip("tsr", (t, s, r), stops.tolist(), strict=True):
        axis.annotate(name, (time, state), (7, 3), textcoords="offset points")
    axis.legend(loc="lower left")
    axis.set(title="a jump's slope is the mean of its parts' slopes", xlabel="time", ylabel="x")


def draw_targets(axis: Axes, oracle: MixtureField) -> None:
    """Velocities of pairs, averaged over a pool, and that of the flow, at one time."""
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(NUM, 1, dtype=torch.float64, generator=generator)
    x1 = oracle.sample(NUM, 1, generator=generator)
    t = torch.full((NUM,), 0.35, dtype=torch.float64)
    flow_map = oracle.as_flow_map()
    pool = FlowMatching(pool=Pool(x1))
    for objective, color, label in ((FlowMatching(), "0.7", "a pair"), (pool, "C1", "a pool")):
        sample = objective.sample_at(flow_map, x0, x1, t, t, None)
        axis.scatter(sample.x, sample.conditional(flow_map), s=8, color=color, label=label)
    grid = torch.linspace(-2, 2, 300, dtype=torch.float64)[:, None]
    velocity = oracle.velocity(grid, t[:1].expand(300))
    axis.plot(grid, velocity, color="C0", linewidth=1.4, label="the flow")
    axis.legend(title="velocity of", loc="upper right")
    axis.set(title="what is learnt from, at t = 0.35", xlabel="x", ylabel="velocity")


if __name__ == "__main__":
    main(tyro.cli(Options))
