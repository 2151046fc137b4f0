"""Robust to pose: networks trained on upright clouds, asked about clouds in any pose.

Every network of point sets is trained for the same time by flow matching on upright shapes of one
category; the error of its velocity on held-out shapes is then measured upright and in random poses.
Where the network has a frame, the frame turns with the shape. The plain network is also trained in
random poses, which is what augmentation buys.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoflow import __version__
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives import FlowMatching
from geoflow.symmetry import FRAME_SIZES, Symmetry, upright_frame
from geoflow.testing import random_rotations, rotate_points
from geoflow.training.ema import Ema
from geoflow_datasets import load
from geoflow_datasets.bank import ShapeBank
from geoflow_tools.bench.points import POINT_NETWORKS

# Coordinates of surfaces have a standard deviation of about this.
_SPREAD = 0.4
_WARM_UP = 50


@dataclass(frozen=True)
class Contender:
    """A network, and how it is trained."""

    network: str
    """Key of POINT_NETWORKS."""
    symmetry: Symmetry
    """Frame that the network is given."""
    poses: Literal["upright", "random"] = "upright"
    """Poses in training."""


CONTENDERS = {
    "point-transformer, frame": Contender("point-transformer", "frame"),
    "point-transformer, no frame": Contender("point-transformer", "so3"),
    "point-messages, no frame": Contender("point-messages", "so3"),
    "point-baseline": Contender("point-baseline", "frame"),
    "point-baseline, turned in training": Contender("point-baseline", "frame", "random"),
}


@dataclass(frozen=True)
class PoseBenchmark:
    """Train on upright shapes, evaluate upright and in random poses."""

    category: str = "airplane"
    """Procedural category."""
    points: int = 256
    """Points of a cloud."""
    seconds: float = 90.0
    """Wall time of each training, on one thread."""
    batch: int = 16
    """Clouds of a step."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW."""
    num_shapes: int = 2_000
    """Training shapes."""
    num_test: int = 256
    """Held-out shapes."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report."""
        torch.set_num_threads(1)
        banks = {
            split: load("procedural", self.category, split=split, num=num).loaded()
            for split, num in (("train", self.num_shapes), ("test", self.num_test))
        }
        rows = {}
        for name, contender in CONTENDERS.items():
            flow_map, steps = self._train(contender, banks["train"])
            upright = self._error(flow_map, contender, banks["test"], turned=False)
            turned = self._error(flow_map, contender, banks["test"], turned=True)
            rows[name] = {
                "training_steps": steps,
                "upright": upright,
                "any_pose": turned,
                "ratio": turned / upright,
            }
        return {
            "geoflow": __version__,
            "seconds": self.seconds,
            "points": self.points,
            "category": self.category,
            "error": rows,
        }

    def _train(self, contender: Contender, bank: ShapeBank) -> tuple[FlowMap, int]:
        torch.manual_seed(0)
        network = POINT_NETWORKS[contender.network](FRAME_SIZES[contender.symmetry])
        flow_map = FlowMap(network, "linear", "u")
        optimiser = torch.optim.AdamW(flow_map.parameters(), lr=self.learning_rate)
        ema, objective = Ema(flow_map, 0.99), FlowMatching()
        generator = torch.Generator().manual_seed(1)
        start, step = time.perf_counter(), 0
        while (spent := (time.perf_counter() - start) / self.seconds) < 1:
            rise = min(1.0, (step + 1) / _WARM_UP)
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * rise * (1 + math.cos(math.pi * spent)) / 2
            rows = torch.randint(len(bank), (self.batch,), generator=generator)
            x1 = self._clouds(bank, rows.numpy(), generator)
            x1, cond = pose(x1, contender.symmetry, contender.poses == "random", generator)
            x0 = torch.randn(x1.shape, generator=generator)
            objective(flow_map, x0, x1, cond, generator=generator).total.mean().backward()
            torch.nn.utils.clip_grad_norm_(flow_map.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            ema.update(flow_map, step)
            step += 1
        return ema.module, step

    @torch.no_grad()
    def _error(
        self, flow_map: FlowMap, contender: Contender, bank: ShapeBank, *, turned: bool
    ) -> float:
        """Mean squared error of the velocity, at times and noise that are the same for all."""
        generator = torch.Generator().manual_seed(2)
        errors = []
        for rows in torch.arange(len(bank)).split(self.batch):
            x1 = self._clouds(bank, rows.numpy(), generator)
            x1, cond = pose(x1, contender.symmetry, turned, generator)
            x0 = torch.randn(x1.shape, generator=generator)
            errors.append(FlowMatching()(flow_map, x0, x1, cond, generator=generator).total)
        return float(torch.cat(errors).mean())

    def _clouds(
        self, bank: ShapeBank, rows: np.ndarray, generator: torch.Generator
    ) -> Float[Tensor, "b n 3"]:
        batch = bank.batch(rows, num_surface=self.points, num_queries=1, generator=generator)
        return batch.surface / _SPREAD


def pose(
    points: Float[Tensor, "b n 3"],
    symmetry: Symmetry,
    is_random: bool,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "b n 3"], Condition]:
    """Clouds in poses, and the frames that stand as they do."""
    rotation = random_rotations(len(points), generator=generator, dtype=points.dtype)
    if not is_random:
        rotation = torch.eye(3).expand(len(points), 3, 3)
    frame = upright_frame(symmetry, len(points))
    turned = None if frame is None else rotate_points(frame, rotation)
    return rotate_points(points, rotation), Condition(turned)
