"""Sketch from a picture: points of the edges of a chair, from a small rendering, in few steps.

A conditional flow map of sets of points (linear path, data prediction, points coupled with edge
points by optimal transport) is trained for a given time on pictures and edges that are computed
from the same solids, and scored on chairs of the test split: Chamfer distance to all points of the
edges, and SSIM of rasters. `second draw` scores as many points of the true edges, spread anew;
`another chair` the samples of the first row against the edges of another.

References: the task, Arar et al., "SwiftSketch", 2025, arXiv:2502.08642; in few steps, Li et al.,
"A Few-Step Generative Model on Cumulative Flow Maps", 2026, arXiv:2605.03623.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from geoflow import __version__
from geoflow.condition import Condition
from geoflow.couplings import PointTransport
from geoflow.flow_map import FlowMap
from geoflow.geometry.metrics import chamfer_distance
from geoflow.objectives import FlowMatching, build_objective
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow_tools.bench.papers.drawings import (
    Drawings,
    make_drawings,
    mirrored,
    raster,
    similarity,
)
from geoflow_tools.bench.papers.sketch_network import SCALE, SketchConfig, SketchNetwork

_TICKS = 1_000_000
# Sketches of each chair to learn from.
_SPREADS = 4
_SHADES = 16
PAPER = {
    "SwiftSketch, 50 steps": {"MS-SSIM seen": 0.619, "MS-SSIM unseen": 0.614},
    "CFM, 4 steps": {"MS-SSIM seen": 0.618, "MS-SSIM unseen": 0.612},
    "CFM, 1 step": {"MS-SSIM seen": 0.617, "MS-SSIM unseen": 0.611},
}
"""arXiv:2605.03623's table, on ControlSketch's cats."""


@dataclass(frozen=True)
class SketchTable:
    """Train a sketcher for a given time, and score few steps on chairs that it has not seen."""

    chairs: int = 300
    """Chairs to train on; each is mirrored, too."""
    test: int = 40
    """Chairs of the test split to score."""
    points: int = 128
    """Points of a sketch."""
    seconds: float = 200.0
    """Processor time of the training."""
    batch: int = 12
    """Pictures of a step."""
    diagonal_first: float = 0.4
    """Share of the time, at its start, that is flow matching alone."""
    map_steps: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (1, 2, 4, 50)
    """Steps of the flow map."""
    ode_steps: int = 50
    """Euler steps of the ODE of the same network."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    png: Path | None = None
    """Picture of some sketches to write."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report.

        Raises:
            ValueError: for fewer than two chairs to score.
        """
        if self.test < 2:
            raise ValueError(f"at least two chairs are needed to score, got {self.test}")
        data = make_drawings("train", self.chairs, show_progress=True)
        held_out = make_drawings("test", self.test, show_progress=True)
        flow_map, steps = self._train(data)
        samples = self._sample(flow_map, held_out)
        generator = torch.Generator().manual_seed(self.seed)
        again = held_out.sketches(self.points, generator=generator)
        report = {name: score(found, held_out) for name, found in samples.items()}
        report["second draw"] = score(again, held_out)
        report["another chair"] = score(next(iter(samples.values())).roll(1, dims=0), held_out)
        if self.png is not None:
            show(held_out, samples, self.png)
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "training_steps": steps,
            "seconds": self.seconds,
            "test_chairs": self.test,
            "rows": report,
            "paper": PAPER,
        }

    def _train(self, data: Drawings) -> tuple[FlowMap, int]:
        """The averaged map, and how many steps the time allowed."""
        torch.manual_seed(self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        spreads = torch.stack(
            [data.sketches(self.points, generator=generator) for _ in range(_SPREADS)]
        )
        flow_map = FlowMap(SketchNetwork(SketchConfig()), "linear", "x1")
        optimiser = Optimiser(flow_map, Schedule(warmup=_TICKS // 20))
        ema, coupling = Ema(flow_map, 0.995), PointTransport()
        objective, warm_up = build_objective("cumulative"), FlowMatching()
        begun, step = time.process_time(), 0
        while (spent := (time.process_time() - begun) / self.seconds) < 1 or step == 0:
            rows = torch.randint(len(data), (self.batch,), generator=generator)
            which = torch.randint(_SPREADS, rows.shape, generator=generator)
            pictures, edges = mirrored(
                data.pictures[rows], spreads[which, rows], generator=generator
            )
            x1, cond = edges * SCALE, Condition(tokens=pictures)
            x0 = coupling(torch.randn(x1.shape, generator=generator), x1, cond)
            late = (spent - self.diagonal_first) / (1 - self.diagonal_first)
            current = warm_up if late < 0 else objective.at(late)
            losses = current(flow_map, x0, x1, cond, generator=generator, average=ema.module)
            losses.total.mean().backward()
            optimiser.step(int(spent * _TICKS), _TICKS)
            ema.update(flow_map, step)
            step += 1
        return ema.module, step

    @torch.no_grad()
    def _sample(self, flow_map: FlowMap, drawings: Drawings) -> dict[str, Float[Tensor, "n k 2"]]:
        """Sketches of all drawings, by sampler, from the same noise."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        noise = torch.randn(len(drawings), self.points, 2, generator=generator)
        cond = Condition(tokens=drawings.pictures)
        found = {}
        for steps in self.map_steps:
            *_, found[f"map {steps}"] = sample_flow_map(flow_map, noise, steps=steps, cond=cond)
        name = f"ode {self.ode_steps}"
        *_, found[name] = sample_ode(flow_map, noise, steps=self.ode_steps, cond=cond)
        return {name: points / SCALE for name, points in found.items()}


def chamfer(a: Float[np.ndarray, "k 2"], b: Float[np.ndarray, "m 2"]) -> float:
    """Chamfer distance in the plane: mean unsquared distance to the nearest, of both directions."""
    return chamfer_distance(*(np.pad(points, ((0, 0), (0, 1))) for points in (a, b)))


def score(sketches: Float[Tensor, "n k 2"], drawings: Drawings) -> dict[str, float]:
    """Means over drawings of Chamfer, in per cent of the picture's edge, and of SSIM."""
    distances, alike = [], []
    for i, points in enumerate(sketches.double().numpy()):
        true = drawings.all_edges(i)
        distances.append(100 * chamfer(points, true) / 2)
        alike.append(similarity(points, true))
    error = float(np.std(distances, ddof=1) / np.sqrt(len(distances)))
    return {
        "chamfer": round(float(np.mean(distances)), 3),
        "chamfer_error": round(error, 3),
        "ssim": round(float(np.mean(alike)), 3),
    }


def show(
    drawings: Drawings,
    samples: Mapping[str, Float[Tensor, "n k 2"]],
    path: Path,
    *,
    num: int = 8,
) -> None:
    """Pictures, sketches by sampler, and the true edges, a row each."""
    num = min(num, len(drawings))
    rows = {"picture": drawings.pictures.numpy()}
    for name, points in samples.items():
        rows[name] = 1 - np.stack([raster(one) for one in points[:num].double().numpy()])
    rows["edges"] = 1 - np.stack([raster(drawings.all_edges(i)) for i in range(num)])
    figure = Figure(figsize=(num + 1, len(rows)))
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (name, images) in zip(axes, rows.items(), strict=True):
        axis.imshow(np.concatenate(list(images[:num]), axis=1), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.subplots_adjust(left=1 / (num + 1), right=0.995, bottom=0.005, top=0.995, hspace=0.05)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Greys are told apart as well in few shades, and the file is a third.
    grey = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).convert("L")
    grey.quantize(_SHADES).save(path, optimize=True)
