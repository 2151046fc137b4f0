"""Point networks: what a training step costs by the number of points, and what few steps save.

Times are medians of calls in turn; memory is the most bytes of tensors alive at once; `growth` is
the exponent of both between the two largest sets (1: linear, 2: all pairs).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import nn

from geoflow import __version__
from geoflow.backbones import (
    PointBaseline,
    PointBaselineConfig,
    PointMessages,
    PointMessagesConfig,
    PointTransformer,
    PointTransformerConfig,
)
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.clouds import PointGenerator
from geoflow.objectives import FlowMatching
from geoflow.symmetry import upright_frame
from geoflow_tools.bench.cost import training_step
from geoflow_tools.bench.memory import peak_tensor_bytes
from geoflow_tools.bench.timing import median_seconds

_BATCH = 4
_ODE_STEPS = 100

POINT_NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "point-transformer": lambda size: PointTransformer(PointTransformerConfig(frame_size=size)),
    "point-messages": lambda size: PointMessages(PointMessagesConfig(frame_size=size)),
    "point-baseline": lambda size: PointBaseline(PointBaselineConfig()),
}
"""Networks of point sets by name, for a number of frame vectors."""


@dataclass(frozen=True)
class PointsBenchmark:
    """Cost of point networks, and of sampling a model of points in one step and in a hundred."""

    sizes: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (
        256,
        512,
        1024,
        2048,
        4096,
    )
    """Points of a set."""
    model: str | None = None
    """Model of points to sample from; default: none is sampled."""
    points: int = 2048
    """Points of a sampled cloud."""
    repeats: int = 5
    """Repeats of each measurement; medians are reported."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """The report.

        Raises:
            ValueError: for fewer than two sizes, from which nothing grows.
        """
        if len(self.sizes) < 2:
            raise ValueError(f"sizes must be at least two, got {self.sizes}")
        report: dict[str, object] = {
            "geoflow": __version__,
            "torch": torch.__version__,
            "cores": os.cpu_count(),
            "batch": _BATCH,
            "training_step": self._costs(),
        }
        if self.model is not None:
            report["sampling"] = self._sampling(PointGenerator.from_pretrained(self.model))
        return report

    def _costs(self) -> dict[str, object]:
        calls = {
            (name, size): _step(build(3), size)
            for name, build in POINT_NETWORKS.items()
            for size in self.sizes
        }
        named = {f"{name} {size}": call for (name, size), call in calls.items()}
        seconds = median_seconds(named, repeats=self.repeats)
        memory = {name: float(peak_tensor_bytes(call)) for name, call in named.items()}
        return {
            name: {
                "milliseconds": {size: 1e3 * seconds[f"{name} {size}"] for size in self.sizes},
                "megabytes": {size: memory[f"{name} {size}"] / 1e6 for size in self.sizes},
                "growth_time": self._growth(name, seconds),
                "growth_memory": self._growth(name, memory),
            }
            for name in POINT_NETWORKS
        }

    def _growth(self, name: str, values: dict[str, float]) -> float:
        few, many = sorted(self.sizes)[-2:]
        return math.log(values[f"{name} {many}"] / values[f"{name} {few}"]) / math.log(many / few)

    def _sampling(self, generator: PointGenerator) -> dict[str, float]:
        noise, frame = generator.noise(1), generator.frame_for(1)
        points = generator.point_noise(1, self.points)

        def sample(steps: int, ode: bool) -> Callable[[], object]:
            def call() -> object:
                tokens = generator.sample_latents(noise, steps=steps, ode=ode)
                return generator.autoencoder.draw(tokens, points, steps=steps, frame=frame, ode=ode)

            return call

        calls = {"map": sample(1, False), "ode": sample(_ODE_STEPS, True)}
        seconds = median_seconds(calls, repeats=self.repeats)
        return {
            "milliseconds_1_step": 1e3 * seconds["map"],
            f"milliseconds_{_ODE_STEPS}_steps_ode": 1e3 * seconds["ode"],
            "ratio": seconds["ode"] / seconds["map"],
        }


def _step(network: nn.Module, size: int) -> Callable[[], object]:
    flow_map = FlowMap(network, "linear", "u")
    x1 = 0.5 * torch.randn(_BATCH, size, 3, generator=torch.Generator().manual_seed(0))
    frame = upright_frame("frame", _BATCH)
    return training_step(flow_map, FlowMatching(), x1, Condition(frame))
