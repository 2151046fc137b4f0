"""What a stage of a run is: it gives a batch and a loss; everything else is the loop's.

A run is a list of stages. `fit` in `geoflow.training.loop` owns a step's random generator,
precision, optimiser, moving average, checkpoint, reports and interruption.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.flow_map import FlowMap
from geoflow.objectives import Losses
from geoflow.training.ema import Ema
from geoflow.training.optimisation import Schedule
from geoflow.training.processes import ALONE, Processes
from geoflow.typing import Count

if TYPE_CHECKING:
    from geoflow.models.base import Model

M = TypeVar("M", bound="Model")
B = TypeVar("B")


@dataclass(frozen=True)
class StageOptions:
    """Options that every stage has."""

    fuses: ClassVar[bool] = False
    """Whether the stage has networks that are faster fused."""

    steps: int = 1_000
    """Optimiser steps."""
    ema: float = 0.995
    """Decay of the moving average of the weights."""
    bf16: bool | None = None
    """Run the network under bfloat16 autocast; None: where the machine does so faster."""
    muon_bf16: bool | None = None
    """Orthogonalise in bfloat16; None: where the machine does so faster."""
    compile: bool | None = None
    """Fuse the networks by torch.compile; None: a run's beginning decides, and without one not."""
    schedule: Schedule = field(default_factory=Schedule)
    """Learning rate."""
    parts: Count = 1
    """Batches of a step, whose gradients are averaged; processes share them."""


Watch: TypeAlias = Callable[[str, int, int], None]
"""Told what is being made before the first step, how much of it there is, and how much in all."""


def unwatched(what: str, done: int, total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Context:
    """What a stage is given beside its options."""

    model: Any
    """The model whose part is trained, in place."""
    data: Any
    """The training data, as the kind's source gives them."""
    folder: Path | None = None
    """Where checkpoints are, and what is made once; None: nowhere."""
    seed: int = 0
    device: str = "cpu"
    frozen: FlowMap | None = None
    """A teacher's flow map, held fixed, to distil."""
    processes: Processes = ALONE
    """Who shares the parts of a step."""
    is_fresh: bool = True
    """Whether the model's weights are fresh: scales are then fitted to the data."""
    held_out: Any = None
    """Data that are not trained on, to choose by; None: nothing is chosen."""
    watch: Watch = unwatched
    """Who is told of what takes long before the first step."""


class Fusible(NamedTuple):
    """A module whose `forward` may be compiled.

    Best a block of which a network has several: those of one class and sizes are compiled once.
    """

    module: nn.Module
    varies: bool = False
    """Whether it is called with batches of many sizes."""


class Stage(ABC, Generic[M, B]):
    """One part of a model in training; M is the model's class, B what a batch is.

    Args:
        options: of `options_type`.
        context: model, data and place.

    Attributes:
        model: the model in training.
        average: the moving average of `module`, once the loop has made it.
        said: what the user is told when the stage has ended.
    """

    name: ClassVar[str]
    """Of its checkpoint, its reports and its sheets."""
    options_type: ClassVar[type[StageOptions]]
    advice: ClassVar[str] = "lower the learning rate"
    """What to do about a loss that is not finite."""
    is_optional: ClassVar[bool] = False
    """Whether a run may do without it, as those of earlier versions do."""
    keeps_average: ClassVar[bool] = True
    """Whether the moving average of the weights is made."""

    def __init__(self, options: Any, context: Context) -> None:
        self.options, self.context = options, context
        self.model: M = context.model
        self.average: Ema[Any] | None = None
        self.said = ""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """What is optimised."""

    @classmethod
    def fine_tuning(cls) -> Any:
        """Options for weights that are good already."""
        return cls.options_type()

    def prepare(self) -> None:
        """Make what the batches are drawn from; called once, before the first step."""

    @abstractmethod
    def batch(self, generator: torch.Generator) -> B:
        """The examples of a step, on the device, from the step's generator."""

    @abstractmethod
    def loss(self, batch: B, step: int, generator: torch.Generator) -> Losses:
        """Losses of the examples of a step, counted from 0; the generator is as `batch` left it."""

    def fusible(self) -> list[Fusible]:
        """What may be compiled while the loss is computed."""
        return []

    def kept(self) -> M:
        """The model as it would be kept now: with moving averages where they are what is kept."""
        return self.model

    def finish(self) -> None:
        """Let the model have what is kept; called after the last step."""


def means(terms: Mapping[str, Float[Tensor, "..."]]) -> dict[str, float]:
    """Means of the terms of a loss, as numbers."""
    return {name: value.float().mean().item() for name, value in terms.items()}
