"""What a training step costs: time by turns, memory by counting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import INTERPOLANTS
from geoflow.models.fields import Generator
from geoflow.objectives import Objective
from geoflow.training.ema import Ema
from geoflow_tools.bench.ladder import Rung
from geoflow_tools.bench.memory import peak_tensor_bytes
from geoflow_tools.bench.timing import median_seconds

_BATCH = 128


def measure_cost(rungs: Sequence[Rung], *, repeats: int) -> dict[str, dict[str, float]]:
    """Time and memory of a step of each rung, in units of those of flow matching.

    The network, latents and batch are those of the shipped chair model.
    """
    reference = Rung("flow-matching")
    unique = {rung.name: rung for rung in (reference, *rungs)}
    calls = {name: _step(rung) for name, rung in unique.items()}
    seconds = median_seconds(calls, repeats=repeats)
    memory = {name: peak_tensor_bytes(call) for name, call in calls.items()}
    return {
        name: {
            "time": seconds[name] / seconds[reference.name],
            "memory": memory[name] / memory[reference.name],
        }
        for name in unique
    }


def training_step(
    flow_map: FlowMap,
    objective: Objective,
    x1: torch.Tensor,
    condition: Condition,
    *,
    average: FlowMap | None = None,
) -> Callable[[], object]:
    """Loss and gradient, as `geoflow train` runs them; the optimiser's step is common to all."""

    def call() -> None:
        x0 = torch.randn_like(x1)
        with torch.autocast(x1.device.type, torch.bfloat16):
            losses = objective(flow_map, x0, x1, condition, average=average)
        losses.total.float().mean().backward()
        flow_map.zero_grad(set_to_none=True)

    return call


def _step(rung: Rung) -> Callable[[], object]:
    generator = Generator.from_pretrained("chair")
    path = INTERPOLANTS[rung.interpolant]()
    flow_map = FlowMap(generator.flow_map.backbone, path, rung.prediction).train()
    condition = Condition(generator.frame_for(_BATCH), torch.zeros(_BATCH, dtype=torch.long))
    average = Ema(flow_map, 0.0).module
    x1 = generator.noise(_BATCH, seed=1)
    return training_step(flow_map, rung.build(), x1, condition, average=average)
