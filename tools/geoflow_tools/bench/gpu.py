"""Steps of a training on a GPU: their time, their launches, and what share of it is products.

The steps are those of `geoflow_tools.train_shapes` on a model of many things: launched one kernel
after the other, replayed from a CUDA graph, and fused by torch.compile before that. Each is on
random numbers, since neither depends on them.
"""

from __future__ import annotations

import copy
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from geoflow import __version__
from geoflow.models.volumes import VolumeGenerator
from geoflow.training.ema import Ema
from geoflow.training.stages.field_autoencoder import FieldLoss
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_tools.train_shapes.steps import (
    AutoencoderStep,
    EncodedDraws,
    FlowStep,
    Graphs,
    StaticOptimiser,
)

Way = Literal["eager", "graph", "compiled"]
Step = Callable[[], None]
# What kernels and operators of matrix products and convolutions are called.
_PRODUCTS = re.compile(r"gemm|gemv|conv|wgrad|dgrad|fprop|xmma|cutlass|nvjet|::(add|b|badd)?mm\b")
_PROFILED, _SLOWEST = 3, 12
_EMA = 0.998


@dataclass(frozen=True)
class GpuBenchmark:
    """Time steps of the autoencoder and of the flow map."""

    model: str = "shapes"
    """Shipped model of many things, or a folder of a model or a run."""
    device: str = "cuda"
    """cuda, or cpu to see that it runs."""
    ways: tuple[Way, ...] = ("eager", "graph", "compiled")
    """How steps are run; without a GPU there are no graphs."""
    points: tuple[int, ...] = (768, 2048)
    """Points of a shape, each number a row."""
    batch: int = 64
    """Shapes of a step of the autoencoder."""
    num_queries: int = 4096
    """Queries of each."""
    flow_batch: int = 512
    """Latents of a step of the flow."""
    repeats: int = 20
    """Steps timed together, three times."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, Any]:
        """Milliseconds of a step in each way; launches, share of products and slowest kernels.

        Raises:
            SystemExit: if there is no such device.
            CheckpointError: if the model is of another kind.
        """
        is_cuda = self.device.startswith("cuda")
        if is_cuda and not torch.cuda.is_available():
            raise SystemExit("gpu: torch finds no GPU here; --device cpu shows that the bench runs")
        model = VolumeGenerator.from_pretrained(self.model, device=self.device)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = is_cuda
        steps = {
            f"autoencoder, {num} points": self._row(partial(self._autoencoder, model, num))
            for num in self.points
        }
        steps["flow"] = self._row(partial(self._flow, model))
        return {
            "geoflow": __version__,
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if is_cuda else self.device,
            "batch": {"autoencoder": self.batch, "flow": self.flow_batch},
            "steps": steps,
        }

    def _row(self, build: Callable[[Way], tuple[Step, StaticOptimiser]]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for way in self.ways:
            begun = time.monotonic()
            step, optimiser = build(way)
            run = step
            if way != "eager":
                run = Graphs(optimiser.parameters[0].device).capture(step, optimiser.parameters)
            run()
            row[f"{way}, seconds until the first"] = round(time.monotonic() - begun, 2)
            row[way] = round(1e3 * self._seconds(run), 3)
            if way == "eager":
                row |= profiled(step, is_cuda=optimiser.is_cuda)
        return row

    def _seconds(self, run: Step) -> float:
        each = []
        for _ in range(3):
            self._wait()
            begun = time.perf_counter()
            for _ in range(self.repeats):
                run()
            self._wait()
            each.append((time.perf_counter() - begun) / self.repeats)
        return statistics.median(each)

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def _autoencoder(
        self, model: VolumeGenerator, num: int, way: Way
    ) -> tuple[Step, StaticOptimiser]:
        module = copy.deepcopy(model.autoencoder).requires_grad_(True).train()
        if way == "compiled":
            decoder = module.decoder
            _compile(module.encoder, "forward")
            _compile(decoder, "context")
            _compile(decoder, "forward")
        device, shape = self.device, (self.batch, num, 3)
        optimiser = _optimiser(module)
        queries = torch.rand(self.batch, self.num_queries, 3, device=device) * 2 - 1
        step = AutoencoderStep(
            module, optimiser, FieldLoss(), torch.zeros((), device=device),
            torch.rand(shape, device=device) * 1.6 - 0.8,
            nn.functional.normalize(torch.randn(shape, device=device), dim=-1), True, queries,
            queries.norm(dim=-1) - 0.6, torch.eye(3, device=device).expand(self.batch, 3, 3),
        )  # fmt: skip
        return step, optimiser

    def _flow(self, model: VolumeGenerator, way: Way) -> tuple[Step, StaticOptimiser]:
        flow_map = copy.deepcopy(model.flow_map).requires_grad_(True).train()
        optimiser = _optimiser(flow_map)
        if way == "compiled":
            for one in (flow_map, optimiser.average.module):
                _compile(one.backbone, "forward")
        config, num = model.config.transformer, 2 * self.flow_batch
        tokens = torch.randn(num, config.num_tokens, config.scalars, device=self.device).half()
        is_scan = torch.arange(num, device=self.device)[:, None, None] % 2
        draws = EncodedDraws(
            tokens, tokens * is_scan, torch.zeros(num, dtype=torch.long, device=self.device)
        )
        step = FlowStep(
            flow_map, optimiser, draws, VolumeFlowTraining(diagonal=0.25, end=0.5),
            self.flow_batch, jumps=True, total=torch.zeros((), device=self.device),
        )  # fmt: skip
        return step, optimiser


def _optimiser(module: Any) -> StaticOptimiser:
    optimiser = StaticOptimiser(module, Ema(module, _EMA))
    optimiser.set(1e-4, 1000)
    return optimiser


def _compile(module: Any, name: str) -> None:
    setattr(module, name, torch.compile(getattr(module, name), dynamic=False))


def profiled(step: Step, *, is_cuda: bool) -> dict[str, Any]:
    """Launches, busy time and share of products of a step that has run before.

    On a GPU kernels are counted, on a processor operators.
    """
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_cuda
    with profile(activities=kinds) as found:
        for _ in range(_PROFILED):
            step()
    wanted = DeviceType.CUDA if is_cuda else DeviceType.CPU
    events = [event for event in found.key_averages() if event.device_type == wanted]

    def spent(event: Any) -> float:
        micros = event.self_device_time_total if is_cuda else event.self_cpu_time_total
        return float(micros) / 1e3 / _PROFILED

    busy = sum(map(spent, events))
    events.sort(key=spent, reverse=True)
    return {
        "launches": sum(event.count for event in events) // _PROFILED,
        "busy": round(busy, 3),
        "products": round(sum(spent(e) for e in events if _PRODUCTS.search(e.key)) / busy, 3),
        "slowest": {event.key[:90]: round(spent(event), 3) for event in events[:_SLOWEST]},
    }
