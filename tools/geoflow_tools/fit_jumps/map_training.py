"""What trainings of samples of names have in common: time, processes, what is held, a state."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from geoflow.models.checkpoint import load_weights, with_prefix, without_prefix
from geoflow.models.latent import LatentGenerator
from geoflow.seeds import step_generator
from geoflow.training.ema import Ema
from geoflow.training.processes import ALONE, Processes
from geoflow_tools.fit_jumps.held_out import HeldOut
from geoflow_tools.fit_jumps.keeping import Keeping
from geoflow_tools.fit_jumps.solutions import Encoded
from geoflow_tools.train_shapes.loops import Clock

STEPS = (1, 2, 2, 4)
"""Numbers of evaluations by which samples are drawn, two as often as both others."""


@dataclass(kw_only=True)
class MapTraining(ABC):
    """One training of the flow map of `model`, which stays; `kept` gives what comes of it."""

    average_decay: ClassVar[float]
    settles: ClassVar[bool]
    """Whether goals stay, so that the newest state is the best."""

    model: LatentGenerator[Any]
    data: Encoded
    """Latents of shapes, in the model's scale; samples of a category are compared with its own."""
    scans: Encoded | None
    """Latents of points that samples may go through, answers to which are kept."""
    clock: Clock
    batch: int
    """Samples of a step and process."""
    learning_rate: float
    """Peak rate of the map."""
    kept_rows: int
    """Rows of a step by which other answers are kept."""
    keep: float
    """Weight of these."""
    keep_as: LatentGenerator[Any] | None = None
    """The model whose other answers are kept; without, `model`."""
    emphasis: dict[str, float] = field(default_factory=dict)
    """How often a category is drawn, where others are drawn once."""
    seed: int = 0
    processes: Processes = ALONE
    step: int = field(default=0, init=False)
    """Steps that were taken."""

    def __post_init__(self) -> None:
        """Copy the map.

        Raises:
            ValueError: for an emphasis below 0, or one that draws nothing.
        """
        self.teacher = copy.deepcopy(self.model.flow_map).eval().requires_grad_(False)
        self.flow_map = copy.deepcopy(self.teacher).train().requires_grad_(True)
        self.average = Ema(self.flow_map, self.average_decay)
        answers = self.model if self.keep_as is None else self.keep_as
        kept = copy.deepcopy(answers.flow_map).eval().requires_grad_(False)
        self.keeping = Keeping(self.model, kept, self.data, self.scans)
        self.movers: dict[str, torch.optim.Optimizer] = {}
        self._categories = self.data.category.unique()
        self._chances = torch.tensor(
            [float(self.emphasis.get(self.model.categories[c], 1.0)) for c in self._categories]
        )
        if bool((self._chances < 0).any()) or not self._chances.any():
            raise ValueError(
                f"emphasis must be at least 0, and above it for a category of the data, got "
                f"{self.emphasis}"
            )

    @abstractmethod
    def take_step(self, steps: int, share: float, generator: torch.Generator) -> dict[str, Tensor]:
        """One step, by samples of so many evaluations, at this share of the time; its losses."""

    def run(self, told: Callable[[int, dict[str, float]], None]) -> int:
        """Train until the time is over, with a word after each step; returns the steps.

        Raises:
            FloatingPointError: for losses that are not finite.
        """
        while (share := self._share()) < 1:
            common = step_generator(self.seed, "evaluations", self.step)
            steps = STEPS[int(torch.randint(len(STEPS), (), generator=common))]
            own = step_generator(self.seed, f"samples {self.processes.rank}", self.step)
            losses = self.take_step(steps, share, own)
            if not all(map(torch.isfinite, losses.values())):
                raise FloatingPointError(f"losses are {losses}: lower --learning-rate")
            self.step += 1
            told(self.step, {name: loss.item() for name, loss in losses.items()})
        return self.step

    def judged(self, held_out: HeldOut) -> dict[str, Any]:
        """What there is to say of the average beside held-out shapes."""
        average = self.average.module
        return {
            "energies": held_out.energy(average),
            "distances": held_out.distance(average, self.data),
        }

    def kept(self) -> LatentGenerator[Any]:
        """The model with the average of the weights."""
        model = copy.copy(self.model)
        model.flow_map = copy.deepcopy(self.average.module)
        return model

    def state(self) -> dict[str, Tensor]:
        """All that is trained and what moves it, by name."""
        found: dict[str, Tensor] = {}
        for name, part in self.parts().items():
            found |= with_prefix(name, part.state_dict())
        for name, mover in self.movers.items():
            for number, moments in mover.state_dict()["state"].items():
                found |= with_prefix(f"mover/{name}", with_prefix(str(number), moments))
        return found

    def go_on(self, state: dict[str, Tensor], step: int) -> None:
        """From what `state` gave after so many steps.

        Raises:
            CheckpointError: if it is of another map.
        """
        for name, part in self.parts().items():
            load_weights(part, without_prefix(name, state), source="the state of a training")
        for name, mover in self.movers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in without_prefix(f"mover/{name}", state).items():
                number, _, moment = key.partition(".")
                moments.setdefault(int(number), {})[moment] = value
            mover.load_state_dict({**mover.state_dict(), "state": moments})
        self.step = step

    def parts(self) -> dict[str, nn.Module]:
        """What a state has weights of."""
        return {"map": self.flow_map, "average": self.average.module}

    def draw_categories(self, generator: torch.Generator) -> Tensor:
        """Of the data, as `emphasis` has it; one for each sample of a step."""
        chosen = torch.multinomial(self._chances, self.batch, replacement=True, generator=generator)
        return self._categories[chosen]

    def move(self, module: nn.Module, loss: Tensor, rate: float, clip: float, *movers: str) -> None:
        """A step of a module by the gradient of all processes and by these movers."""
        loss.backward()
        parameters = list(module.parameters())
        self.processes.share_gradients(parameters, self.processes.num)
        nn.utils.clip_grad_norm_(parameters, clip)
        for mover in map(self.movers.__getitem__, movers):
            for group in mover.param_groups:
                group["lr"] = rate
            mover.step()
            mover.zero_grad(set_to_none=True)

    def _share(self) -> float:
        """Of the time, what the first process says."""
        own = self.clock.share if self.processes.is_first else 0.0
        return float(self.processes.total(torch.tensor(own, dtype=torch.float64)))
