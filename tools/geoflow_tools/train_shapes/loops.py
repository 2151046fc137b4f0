"""Both stages against the clock: the rates fall to zero when the time is over."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from geoflow.flow_map import FlowMap
from geoflow.models.volumes import VolumeGenerator
from geoflow.training.ema import Ema
from geoflow.training.stages.field_autoencoder import FieldLoss
from geoflow.training.stages.shapes import frame_on
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_tools.train_shapes.batches import Draw
from geoflow_tools.train_shapes.steps import (
    AutoencoderStep,
    EncodedDraws,
    FlowStep,
    Graphs,
    StaticOptimiser,
    autocast,
)

Say = Callable[[str], None]
_REPORT = 100
_SAVE_EVERY = 45.0
_EMA = 0.998
_SCALED = 20_000
_AT_ONCE = 4096
_WARM, _FALL = 0.02, 0.75
# The host waits for the device so often, that the clock it reads is the device's.
_AHEAD = 8


@dataclass
class Clock:
    """Time of one stage, in seconds.

    Attributes:
        seconds: that it has.
        start: when it began.
    """

    seconds: float
    start: float

    @property
    def share(self) -> float:
        """Of its time, how much is over."""
        return (time.monotonic() - self.start) / self.seconds

    def steps(self) -> Iterator[int]:
        """Numbers of steps until the time is over."""
        step = 0
        while self.share < 1:
            yield step
            step += 1
            if torch.cuda.is_available() and step % _AHEAD == 0:
                torch.cuda.synchronize()

    def rate(self, peak: float) -> float:
        """A rate that rises over a fiftieth of the time, and falls to zero over its last part."""
        share = self.share
        return peak * min((share + 1e-3) / _WARM, 1.0) * max(min((1 - share) / _FALL, 1.0), 0.0)


class Reports:
    """Mean losses and times of steps, looked at seldom: each look waits for the device."""

    def __init__(self, name: str, say: Say, device: torch.device, every: int) -> None:
        self.name, self.say, self.every = name, say, every
        self.total, self.last, self.waited = torch.zeros((), device=device), time.monotonic(), 0.0

    def look(self, step: int, tell: Callable[[], str] = str) -> None:
        """After a step, numbered from 1.

        Raises:
            FloatingPointError: if the mean loss is not finite.
        """
        if step % self.every:
            return
        mean, now = self.total.item() / self.every, time.monotonic()
        each, waited = (1e3 * s / self.every for s in (now - self.last, self.waited))
        text = f"{self.name} {step}: loss {mean:.4f}, {each:.1f} ms ({waited:.1f} waited)"
        self.say(f"{text} {tell()}")
        self.total.zero_()
        self.last, self.waited = time.monotonic(), 0.0
        if not math.isfinite(mean):
            raise FloatingPointError(f"{self.name} loss is {mean} at step {step}")


def train_autoencoder(
    model: VolumeGenerator,
    batches: DataLoader[Any],
    clock: Clock,
    *,
    learning_rate: float,
    judge: FieldLoss,
    say: Say,
    tell: Callable[[], str],
    every: int = _REPORT,
) -> int:
    """Train the model's autoencoder in place, and keep the average; returns the steps taken."""
    device, module = model.device, model.autoencoder.train()
    average = Ema(module, _EMA)
    optimiser, graphs = StaticOptimiser(module, average), Graphs(device)
    reports, step = Reports("autoencoder", say, device, every), 0
    # One for each number of points, and for each way in which normals are known.
    known: dict[tuple[int, bool, bool], tuple[AutoencoderStep, Callable[[], None]]] = {}
    source = iter(batches)
    for step in clock.steps():
        before = time.monotonic()
        batch = next(source)
        reports.waited += time.monotonic() - before
        optimiser.set(clock.rate(learning_rate), step)
        key = (batch[0].shape[1], batch[1] is not None, bool(batch[2]))
        if key in known:
            held, run = known[key]
            held.take(batch)
            run()
        else:
            points, normals, oriented, queries, sdf = batch
            held = AutoencoderStep(
                module, optimiser, judge, reports.total, points.to(device),
                None if normals is None else normals.to(device), bool(oriented),
                queries.to(device), sdf.to(device), _frame(len(points), device),
            )  # fmt: skip
            known[key] = (held, graphs.capture(held, optimiser.parameters))
            if not graphs.is_cuda:
                held()
        reports.look(step + 1, tell)
    model.autoencoder = average.module.eval()
    return step + 1


def _frame(num: int, device: torch.device) -> Tensor:
    frame = frame_on("frame", num, device)
    assert frame is not None, "the symmetry has one"
    return frame


@torch.no_grad()
def encode(model: VolumeGenerator, draws: DataLoader[Any]) -> EncodedDraws:
    """Latents of all draws; the model's scale is fitted to them."""
    device = model.device
    tokens, given, category = [], [], []

    def encoded(points: Tensor, normals: Tensor | None, oriented: bool = True) -> Tensor:
        known = None if normals is None else normals.to(device)
        with autocast(device):
            return model.encode(points.to(device), known, oriented=oriented).half()

    for item in draws:
        draw = Draw(*item)
        tokens.append(encoded(draw.surface, draw.normals))
        seen = torch.zeros_like(tokens[-1])
        if draw.points is not None:
            seen = encoded(draw.points, draw.known, draw.oriented)
        given.append(seen)
        category.append(draw.category)
    whole, scans = torch.cat(tokens), torch.cat(given)
    model.scale.to("cpu").fit(whole[:_SCALED].float().cpu(), None)
    scale = model.scale.to(device)
    for rows in torch.arange(len(whole), device=device).split(_AT_ONCE):
        whole[rows] = scale.normalise(whole[rows].float(), None).half()
        is_scan = rows[scans[rows].flatten(1).any(1)]
        scans[is_scan] = scale.normalise(scans[is_scan].float(), None).half()
    return EncodedDraws(whole, scans, torch.cat(category).to(device))


def train_flow(
    model: VolumeGenerator,
    draws: EncodedDraws,
    clock: Clock,
    *,
    learning_rate: float,
    batch: int,
    options: VolumeFlowTraining,
    say: Say,
    save: Callable[[VolumeGenerator], None],
    every: int = _REPORT,
) -> int:
    """Train the model's flow map in place, and keep the average; returns the steps taken."""
    device, flow = model.device, model.flow_map.train()
    average: Ema[FlowMap] = Ema(flow, _EMA)
    optimiser, graphs = StaticOptimiser(flow, average), Graphs(device)
    reports, saved, step = Reports("flow", say, device, every), time.monotonic(), 0
    runs: dict[bool, Callable[[], None]] = {}
    for step in clock.steps():
        optimiser.set(clock.rate(learning_rate), step)
        jumps = clock.share >= options.diagonal_first
        if jumps not in runs:
            one = FlowStep(flow, optimiser, draws, options, batch, jumps=jumps, total=reports.total)
            runs[jumps] = graphs.capture(one, optimiser.parameters)
        runs[jumps]()
        reports.look(step + 1)
        if time.monotonic() - saved > _SAVE_EVERY:
            kept = copy.copy(model)
            kept.flow_map = average.module
            save(kept)
            saved = time.monotonic()
    model.flow_map = average.module.eval()
    return step + 1
