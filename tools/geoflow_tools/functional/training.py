"""Training of functional maps: any objective, for a time of one core.

A state is the clamped signed distance at places of a shape: those of the context are uniform in the
box, as they are when nothing but 64 points is known, the others mostly near the surface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.flow_map import FlowMap
from geoflow.interpolant import Linear
from geoflow.objectives import build_objective
from geoflow.symmetry import upright_frame
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.queries import BOUND, NEAR_SHARE
from geoflow_tools.functional.network import (
    FunctionalConfig,
    FunctionalNetwork,
    FunctionCondition,
)
from geoflow_tools.functional.random_function import RandomFunction
from geoflow_tools.timed_training import Pairs, train_for

CLAMP = 0.1
"""Distance that counts as 1; farther ones too."""


@dataclass(frozen=True)
class FunctionalTraining:
    """What a map is trained with; the same for all that are compared."""

    seconds: float = 90.0
    """Processor time of one core."""
    batch: int = 12
    """Shapes of a step."""
    points: int = 64
    """Surface points that are given."""
    queries: int = 96
    """Places beside the context's."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW; it falls to zero by a half cosine of the time spent."""
    diagonal_first: float = 0.3
    """Share of the time, at its start, that is flow matching alone."""
    ema: float = 0.995
    """Decay of the moving average, which gives targets and answers."""


@dataclass(frozen=True)
class Recipe:
    """A row of the comparison."""

    objective: str
    """Of OBJECTIVES or SPECIAL_CASES."""
    prediction: str
    """Of PREDICTIONS."""
    ode: bool = False
    """Whether answers come from the ODE of the diagonal."""


RECIPES = {
    "x1": Recipe("cumulative", "x1"),
    "u": Recipe("cumulative", "u"),
    "flow matching": Recipe("flow-matching", "x1", ode=True),
}


class FieldData:
    """Clamped fields of a bank's shapes, as states of a functional flow.

    Args:
        bank: the shapes.
        context: places of a state that are uniform in the box.
    """

    def __init__(self, bank: ShapeBank, context: int) -> None:
        first = int(NEAR_SHARE * bank.queries.shape[1])
        self.bank = bank
        self.uniform = replace(bank, queries=bank.queries[:, first:], sdf=bank.sdf[:, first:])
        self.context = context

    def draw(self, config: FunctionalTraining, generator: torch.Generator) -> Pairs:
        """Noise, data, and as the condition where they are, what points are given, and a frame."""
        indices = torch.randint(len(self.bank), (config.batch,), generator=generator).numpy()
        far = self.uniform.batch(
            indices, num_surface=1, num_queries=self.context, generator=generator
        )
        near = self.bank.batch(
            indices, num_surface=config.points, num_queries=config.queries, generator=generator
        )
        places, values = (
            torch.cat([a, b], dim=1) for a, b in zip(far.field()[1:], near.field()[1:], strict=True)
        )
        noise = RandomFunction.draw(config.batch, generator=generator)
        frame = upright_frame("frame", config.batch)
        cond = FunctionCondition(frame=frame, points=near.surface, places=places)
        return Pairs(noise(places), clamped(values), cond)


def clamped(distances: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Signed distances in units of CLAMP, between -1 and 1."""
    return (distances / CLAMP).clamp(-1, 1)


def context_places(
    num: int, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "1 c 3"]:
    """Places uniform in the box, as a context's."""
    return BOUND * (2 * torch.rand(1, num, 3, generator=generator, dtype=dtype) - 1)


def build(recipe: Recipe, network: FunctionalConfig, seed: int) -> FlowMap:
    """An untrained map on straight lines; of one seed all have the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FlowMap(FunctionalNetwork(network), Linear(), recipe.prediction)


def train(
    recipe: Recipe,
    data: FieldData,
    config: FunctionalTraining,
    network: FunctionalConfig,
    *,
    seed: int,
) -> tuple[int, FlowMap]:
    """The steps that a training took, and the moving average of its map.

    Raises:
        FloatingPointError: if its weights are not finite.
    """
    flow_map = build(recipe, network, seed)
    objective = build_objective(recipe.objective)
    draw = partial(data.draw, config)
    steps, ema = train_for(flow_map, objective, draw, config, seed=seed)
    if not all(bool(weight.isfinite().all()) for weight in ema.module.parameters()):
        raise FloatingPointError(f"weights are not finite after {steps} steps of training")
    return steps, ema.module
