"""Both stages against the clock: the rates fall to zero when the time is over."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from geoflow.condition import ANY, Condition
from geoflow.flow_map import FlowMap
from geoflow.models.volumes import VolumeGenerator
from geoflow.objectives import FlowMatching, Guide
from geoflow.seeds import step_generator
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Optimiser, Schedule
from geoflow.training.stages.field_autoencoder import FieldLoss, field_loss
from geoflow.training.stages.shapes import frame_on
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_tools.train_shapes.batches import Draw

Say = Callable[[str], None]
_REPORT = 100
_SAVE_EVERY = 45.0
_EMA = 0.998
_SCALED = 20_000
_AT_ONCE = 4096


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


class TimedRate(Schedule):
    """A learning rate by the time that is over; steps do not count."""

    def __init__(self, learning_rate: float, clock: Clock) -> None:
        super().__init__(learning_rate, decay=0.75)
        object.__setattr__(self, "clock", clock)

    def at(self, step: int, steps: int) -> float:
        """Linear warm-up over a fiftieth of the time, then constant, then falling to zero."""
        share = self.clock.share  # type: ignore[attr-defined]
        rise = min((share + 1e-3) / 0.02, 1.0)
        return self.learning_rate * rise * max(min((1 - share) / self.decay, 1.0), 0.0)


@torch.no_grad()
def follow(average: Ema[Any], module: nn.Module, step: int) -> None:
    """`Ema.update` in one launch."""
    decay = min(average.decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(
        list(average.module.parameters()), [p.detach() for p in module.parameters()], 1 - decay
    )


class Reports:
    """Mean losses and times of steps, looked at seldom: each look waits for the device."""

    def __init__(self, name: str, say: Say, device: torch.device, every: int) -> None:
        self.name, self.say, self.every = name, say, every
        self.total, self.last, self.waited = torch.zeros((), device=device), time.monotonic(), 0.0

    def add(self, step: int, loss: Tensor, more: str = "") -> None:
        """Count a step, numbered from 1.

        Raises:
            FloatingPointError: if the mean loss is not finite.
        """
        self.total += loss.detach()
        if step % self.every:
            return
        mean, now = self.total.item() / self.every, time.monotonic()
        each, waited = (1e3 * s / self.every for s in (now - self.last, self.waited))
        self.say(f"{self.name} {step}: loss {mean:.4f}, {each:.1f} ms ({waited:.1f} waited) {more}")
        self.total.zero_()
        self.last, self.waited = time.monotonic(), 0.0
        if not math.isfinite(mean):
            raise FloatingPointError(f"{self.name} loss is {mean} at step {step}")


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


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
    optimiser = Optimiser(module, TimedRate(learning_rate, clock), bf16=device.type == "cuda")
    reports, step = Reports("autoencoder", say, device, every), 0
    source = iter(batches)
    for step in clock.steps():
        before = time.monotonic()
        points, normals, oriented, queries, sdf = next(source)
        reports.waited += time.monotonic() - before
        points, queries, sdf = (v.to(device, non_blocking=True) for v in (points, queries, sdf))
        normals = None if normals is None else normals.to(device, non_blocking=True)
        frame = frame_on("frame", len(points), device)
        with autocast(device):
            tokens = module.encode(points, normals, frame, oriented=oriented)
            noisy = tokens + module.config.noise * torch.randn_like(tokens)
            predicted = module.decode(noisy, queries, frame)
        distance, sign = field_loss(predicted.float(), sdf, judge)
        loss = (distance + judge.sign_weight * sign).mean()
        loss.backward()
        optimiser.step(step, 1)
        follow(average, module, step)
        reports.add(step + 1, loss, tell())
    model.autoencoder = average.module.eval()
    return step + 1


@dataclass(frozen=True)
class EncodedDraws:
    """Scaled latents of draws in half precision, those of their scans or zeros, and names."""

    tokens: Tensor
    given: Tensor
    category: Tensor


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
    optimiser = Optimiser(flow, TimedRate(learning_rate, clock), bf16=device.type == "cuda")
    objective, guide = options.build_objective(), Guide(average.module)
    matching = FlowMatching(times=replace(objective.times, diagonal=1.0), weight=objective.weight)
    reports, saved, step = Reports("flow", say, device, every), time.monotonic(), 0
    first = options.diagonal_first
    for step in clock.steps():
        past = (clock.share - first) / (1 - first)
        current = matching if past < 0 else objective.at(min(past, 1.0))
        index = torch.randint(len(draws.tokens), (batch,), device=device)
        x1, cond = draws.tokens[index].float(), told(draws, index, options)
        with autocast(device):
            losses = replace(current, pool=guide)(
                flow, torch.randn_like(x1), x1, cond,
                generator=step_generator(0, "flow", step), average=average.module,
            )  # fmt: skip
        loss = losses.total.float().mean()
        loss.backward()
        optimiser.step(step, 1)
        follow(average, flow, step)
        reports.add(step + 1, loss)
        if time.monotonic() - saved > _SAVE_EVERY:
            kept = copy.copy(model)
            kept.flow_map = average.module
            save(kept)
            saved = time.monotonic()
    model.flow_map = average.module.eval()
    return step + 1


def told(draws: EncodedDraws, index: Tensor, options: VolumeFlowTraining) -> Condition:
    """What examples are told, as `VolumeFlowStage.told`, drawn on the device."""
    category, given = draws.category[index], draws.given[index].float()
    chance, guided, place = torch.rand(3, len(index), device=index.device)
    is_scan = given.flatten(1).any(1)
    is_named = chance >= torch.where(is_scan, options.unnamed_scans, options.unnamed)
    weight = 1 / (1 - place * (1 - 1 / options.most_guidance))
    has_weight = is_named & ~is_scan & (guided < options.guided)
    return Condition(
        frame=frame_on("frame", len(index), index.device),
        category=torch.where(is_named, category, ANY),
        tokens=given,
        guidance=torch.where(has_weight, weight, 1.0),
    )
