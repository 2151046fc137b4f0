"""Steps of both stages that a GPU can hold as graphs: of one size, and without the host.

A step of these small networks is thousands of launches; replayed from a CUDA graph it is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from geoflow.backbones.volume_field import VolumeAutoencoder
from geoflow.condition import ANY, Condition
from geoflow.flow_map import FlowMap
from geoflow.objectives.base import Objective
from geoflow.objectives.cumulative import average_field
from geoflow.times import expand_time
from geoflow.training.ema import Ema
from geoflow.training.muon import orthogonalise
from geoflow.training.optimisation import hidden_matrices
from geoflow.training.stages.field_autoencoder import FieldLoss, field_loss
from geoflow.training.stages.volume_flow import VolumeFlowTraining

_MOMENTUM, _DECAY = 0.95, 0.01
_WARM_UP = 3


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU; casts are not kept, since a graph would keep them for ever."""
    on = device.type == "cuda"
    return torch.autocast(device.type, torch.bfloat16, enabled=on, cache_enabled=False)


class Graphs:
    """Functions without arguments, replayed from graphs on a GPU and called elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self.is_cuda = device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if self.is_cuda else None

    def capture(
        self, step: Callable[[], None], parameters: list[nn.Parameter]
    ) -> Callable[[], None]:
        """What runs the step: a graph's replay, after it ran three times."""
        if not self.is_cuda:
            return step
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        # Gradients are then made inside the graph.
        for parameter in parameters:
            parameter.grad = None
        graph = torch.cuda.CUDAGraph()
        # Loaders pin memory in threads of their own meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            step()
        for parameter in parameters:
            parameter.grad = None
        return graph.replay


class StaticOptimiser:
    """`Optimiser` and `Ema.update` with rate and decay in the device's memory, and few launches.

    Attributes:
        average: the moving average.
        rate: learning rate.
        keep: weight of the past in the average.
    """

    def __init__(self, module: nn.Module, average: Ema[Any], *, clip: float = 1.0) -> None:
        self.average, self.clip = average, clip
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        device = self.parameters[0].device
        self.is_cuda = device.type == "cuda"
        self.rate, self.keep = torch.zeros((), device=device), torch.zeros((), device=device)
        hidden = hidden_matrices(module)
        named = [(name in hidden, p) for name, p in module.named_parameters() if p.requires_grad]
        self._momentum = {p: torch.zeros_like(p) for of_muon, p in named if of_muon}
        self._adam = torch.optim.AdamW(
            [p for of_muon, p in named if not of_muon], lr=self.rate, betas=(0.9, 0.98),
            weight_decay=_DECAY, capturable=self.is_cuda, foreach=self.is_cuda,
        )  # fmt: skip

    def set(self, rate: float, step: int) -> None:
        """The rate of the next step, and the decay: early steps move faster."""
        self.rate.fill_(rate)
        self.keep.fill_(min(self.average.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def step(self) -> None:
        """Clip the gradients, take a step, forget the gradients, move the average."""
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in self._momentum:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for shape, parameters in by_shape.items():
            self._orthogonal(parameters, 0.2 * max(shape[0], shape[1:].numel()) ** 0.5)
        self._adam.step()
        for parameter in self.parameters:
            parameter.grad = None
        averages = list(self.average.module.parameters())
        steps = torch._foreach_sub([p.detach() for p in self.parameters], averages)
        torch._foreach_mul_(steps, 1 - self.keep)
        torch._foreach_add_(averages, steps)

    def _orthogonal(self, parameters: list[nn.Parameter], scale: float) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        past = [self._momentum[p] for p in parameters]
        torch._foreach_mul_(past, _MOMENTUM)
        torch._foreach_add_(past, gradients)
        nudges = torch._foreach_add(gradients, past, alpha=_MOMENTUM)
        stacked = torch.stack(nudges).flatten(2)
        updates = orthogonalise(stacked, bf16=self.is_cuda) * (self.rate * scale)
        moved: list[Tensor] = [p.detach() for p in parameters]
        torch._foreach_mul_(moved, 1 - self.rate * _DECAY)
        torch._foreach_sub_(moved, updates.view(-1, *moved[0].shape).unbind())


@dataclass
class AutoencoderStep:
    """One step of the autoencoder on tensors that are always the same; `total` adds up losses."""

    module: VolumeAutoencoder
    optimiser: StaticOptimiser
    judge: FieldLoss
    total: Tensor
    points: Tensor
    normals: Tensor | None
    oriented: bool
    queries: Tensor
    sdf: Tensor
    frame: Tensor

    def __call__(self) -> None:
        """Take the step."""
        module = self.module
        with autocast(self.points.device):
            tokens = module.encode(self.points, self.normals, self.frame, oriented=self.oriented)
            noisy = tokens + module.config.noise * torch.randn_like(tokens)
            predicted = module.decode(noisy, self.queries, self.frame)
        distance, sign = field_loss(predicted.float(), self.sdf, self.judge)
        loss = (distance + self.judge.sign_weight * sign).mean()
        loss.backward()
        self.optimiser.step()
        self.total += loss.detach()

    def take(self, batch: tuple[Any, ...]) -> None:
        """Put a batch where the step reads it."""
        points, normals, _, queries, sdf = batch
        for to, values in ((self.points, points), (self.queries, queries), (self.sdf, sdf)):
            to.copy_(values, non_blocking=True)
        if self.normals is not None:
            self.normals.copy_(normals, non_blocking=True)


@dataclass(frozen=True)
class EncodedDraws:
    """Scaled latents of draws in half precision, those of their scans or zeros, and names."""

    tokens: Tensor
    given: Tensor
    category: Tensor


class FlowStep:
    """One step of the flow map: flow matching alone, or the averaging law beside it.

    A batch has fixed numbers of guided whole shapes, of other whole shapes and of scans, and every
    so many of its rows are on the diagonal, as many as chance would give `VolumeFlowStage`.
    """

    def __init__(
        self,
        flow_map: FlowMap,
        optimiser: StaticOptimiser,
        draws: EncodedDraws,
        options: VolumeFlowTraining,
        batch: int,
        *,
        jumps: bool,
        total: Tensor,
    ) -> None:
        self.flow_map, self.optimiser, self.draws = flow_map, optimiser, draws
        self.options, self.total = options, total
        self.objective: Objective = options.build_objective()
        device = draws.tokens.device
        is_scan = draws.given.flatten(1).any(1)
        self.scans = is_scan.nonzero()[:, 0]
        self.whole = (~is_scan).nonzero()[:, 0]
        num_scans = round(batch * options.completing) if len(self.scans) else 0
        if len(self.whole) == 0:
            num_scans = batch
        num_whole = batch - num_scans
        self.guided = round(num_whole * (1 - options.unnamed) * options.guided)
        self.sizes = (num_whole, num_scans)
        # All guided ones are named.
        unnamed = torch.zeros(batch, device=device)
        others = max(num_whole - self.guided, 1)
        unnamed[self.guided : num_whole] = options.unnamed * num_whole / others
        unnamed[num_whole:] = options.unnamed_scans
        self.unnamed = unnamed
        order = torch.randperm(batch, generator=torch.Generator().manual_seed(0))
        apart = round(batch * (1 - self.objective.times.diagonal)) if jumps else 0
        self.off = order[:apart].sort().values.to(device)
        self.is_on = torch.ones(batch, dtype=torch.bool, device=device)
        self.is_on[self.off] = False
        self.frame = torch.eye(3, device=device).expand(batch, 3, 3)

    def __call__(self) -> None:
        """Take the step."""
        x1, cond = self.example()
        t, r = self.times(len(x1), x1.device)
        with autocast(x1.device):
            losses = self.losses(torch.randn_like(x1), x1, t, r, cond)
        loss = losses.float().mean()
        loss.backward()
        self.optimiser.step()
        self.total += loss.detach()

    def example(self) -> tuple[Tensor, Condition]:
        """Latents, and what they are told."""
        draws, device = self.draws, self.unnamed.device
        index = torch.cat(
            [
                rows[torch.randint(len(rows), (num,), device=device)]
                for rows, num in zip((self.whole, self.scans), self.sizes, strict=True)
                if num
            ]
        )
        chance, place = torch.rand(2, len(index), device=device)
        weight = 1 / (1 - place * (1 - 1 / self.options.most_guidance))
        is_guided = torch.arange(len(index), device=device) < self.guided
        # No scalars in torch.where: they are tensors of the host.
        category = draws.category[index]
        cond = Condition(
            frame=self.frame,
            category=torch.where(chance < self.unnamed, torch.full_like(category, ANY), category),
            tokens=draws.given[index].float(),
            guidance=torch.where(is_guided, weight, torch.ones_like(weight)),
        )
        return draws.tokens[index].float(), cond

    def times(self, num: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Pairs of times, as of `UniformPairs`, the diagonal ones where the step has them."""
        one, two, end = torch.rand(3, num, device=device)
        is_end = end < self.objective.times.end
        early = torch.where(self.is_on | is_end, one, torch.minimum(one, two))
        t = early * self.objective.times.latest
        r = torch.where(is_end, torch.ones_like(one), torch.maximum(one, two))
        return t, torch.where(self.is_on, t, r)

    def losses(self, x0: Tensor, x1: Tensor, t: Tensor, r: Tensor, cond: Condition) -> Tensor:
        """What `Cumulative` with a `Guide` gives for these times, where t < r off the diagonal."""
        flow_map, slow = self.flow_map, self.optimiser.average.module
        path, prediction = flow_map.interpolant, flow_map.prediction
        if self.guided:
            x0, x1 = self._guided(x0, x1, t, cond)
        x = path.interpolate(x0, x1, t)
        output = flow_map.field(x, t, r, cond)
        target = prediction.conditional(x0, x1, t).detach()
        if len(self.off):
            off = self.off
            with torch.no_grad():
                early, late = t[off], r[off]
                middle = early + 0.5 * (late - early)
                goal = average_field(slow, x[off], early, middle, late, cond[off])
            target = target.index_copy(0, off, goal.to(target.dtype))
        return self.objective.weight(flow_map, output - target, t)

    @torch.no_grad()
    def _guided(self, x0: Tensor, x1: Tensor, t: Tensor, cond: Condition) -> tuple[Tensor, Tensor]:
        """`Guide.ends` for the first rows, both fields in one evaluation."""
        slow, first = self.optimiser.average.module, slice(0, self.guided)
        path, given, time = slow.interpolant, cond[first], t[first]
        assert given.guidance is not None, "of every example"
        assert given.category is not None, "of every example"
        x = path.interpolate(x0[first], x1[first], time)
        anything = torch.full_like(given.category, ANY)
        plain = replace(given, guidance=torch.ones_like(given.guidance)).repeat(2)
        both = replace(plain, category=torch.stack([given.category, anything], 1).flatten())
        velocity = slow.velocity(x.repeat_interleave(2, 0), time.repeat_interleave(2), both)
        named, unnamed = velocity.unflatten(0, (-1, 2)).unbind(1)
        rate = (given.guidance - 1) / path.area_rate(time)
        change = expand_time(rate, like=x) * (named - unnamed)
        alpha, beta = (expand_time(c(time), like=x) for c in (path.alpha, path.beta))
        moved0 = x0[first] - (beta * change).to(x0.dtype)
        moved1 = x1[first] + (alpha * change).to(x1.dtype)
        return torch.cat([moved0, x0[self.guided :]]), torch.cat([moved1, x1[self.guided :]])
