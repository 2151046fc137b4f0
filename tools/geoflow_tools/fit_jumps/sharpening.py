"""The last jumps of samples trained against data, by a critic that is trained beside them.

A fitted map follows its own ODE, and can be no better than it. Here samples of one, two and four
evaluations are compared with latents of shapes of their category (`objectives.adversarial`): the
jumps before the last carry no gradient, and answers to all but names alone are kept (`keeping`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from geoflow.backbones.token_critic import TokenCritic
from geoflow.backbones.token_transformer import TokenTransformer
from geoflow.condition import Condition
from geoflow.models.checkpoint import load_weights, with_prefix, without_prefix
from geoflow.models.latent import LatentGenerator
from geoflow.objectives.adversarial import Adversarial
from geoflow.seeds import step_generator
from geoflow.training.ema import Ema
from geoflow.training.processes import ALONE, Processes
from geoflow_tools.fit_jumps.drawing import names, sampled
from geoflow_tools.fit_jumps.keeping import Keeping
from geoflow_tools.fit_jumps.solutions import Encoded
from geoflow_tools.train_shapes.loops import Clock

# Numbers of evaluations by which samples are drawn, two as often as both others.
_STEPS = (1, 2, 2, 4)
_EMA = 0.995
# The average starts at trained weights, which it need not forget at once.
_AVERAGED = 2000
# Of the time, the last part over which rates fall; steps over which the map's rises.
_FALL, _RISE = 0.4, 100
# No momentum: the other player has moved since.
_BETAS = (0.0, 0.98)
_CLIP = {"map": 1.0, "critic": 5.0}


@dataclass
class Sharpening:
    """One training of the flow map of `model`, which stays; `kept` gives what comes of it."""

    model: LatentGenerator[Any]
    data: Encoded
    """Latents of shapes, in the model's scale; samples of a category are compared with its own."""
    scans: Encoded | None
    """Latents of points that samples may go through, answers to which are kept."""
    clock: Clock
    batch: int = 32
    """Samples of a step and process."""
    kept_rows: int = 12
    """Rows of a step by which other answers are kept."""
    keep: float = 2.0
    """Weight of these."""
    learning_rate: float = 6e-5
    """Peak rate of the map."""
    critic_rate: float = 6e-4
    """Peak rate of the critic."""
    penalty: float = 1.0
    """Weight of the critic's slope."""
    emphasis: dict[str, float] = field(default_factory=dict)
    """How often a category is drawn, where others are drawn once."""
    alone: int = 80
    """Steps of the critic before the map moves."""
    seed: int = 0
    processes: Processes = ALONE
    step: int = field(default=0, init=False)
    """Steps that were taken."""

    def __post_init__(self) -> None:
        """Make the critic and what moves both.

        Raises:
            ValueError: for an emphasis below 0, or one that draws nothing.
        """
        teacher = copy.deepcopy(self.model.flow_map).eval().requires_grad_(False)
        self.flow_map = copy.deepcopy(teacher).train().requires_grad_(True)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network = cast(TokenTransformer, teacher.backbone)
            depths = {max(part * len(network.blocks) // 3, 1) for part in (1, 2)}
            self.critic = TokenCritic(network, tuple(sorted(depths)))
        self.average = Ema(self.flow_map, _EMA)
        self.keeping = Keeping(self.model, teacher, self.data, self.scans)
        self.objective = Adversarial(teacher.interpolant, penalty=self.penalty)
        self._movers = {
            "map": _adam(self.flow_map, 0.0), "critic": _adam(self.critic, 0.01)
        }  # fmt: skip
        found = self.data.category.unique()
        self._of = [(self.data.category == index).nonzero().flatten() for index in found]
        self._chances = torch.tensor(
            [float(self.emphasis.get(self.model.categories[index], 1.0)) for index in found]
        )
        if bool((self._chances < 0).any()) or not self._chances.any():
            raise ValueError(
                f"emphasis must be at least 0, and above it for a category of the data, got "
                f"{self.emphasis}"
            )

    def run(self, told: Callable[[int, dict[str, float]], None]) -> int:
        """Train until the time is over, with a word after each step; returns the steps.

        Raises:
            FloatingPointError: for losses that are not finite.
        """
        step = self.step
        while (share := self._share()) < 1:
            losses = self._step(step, share)
            if not all(map(torch.isfinite, losses.values())):
                raise FloatingPointError(f"losses are {losses}: lower --learning-rate")
            self.step = step = step + 1
            told(step, {name: loss.item() for name, loss in losses.items()})
        return step

    def state(self) -> dict[str, Tensor]:
        """All that is trained and what moves it, by name."""
        found: dict[str, Tensor] = {}
        for name, part in self._parts().items():
            found |= with_prefix(name, part.state_dict())
        for name, mover in self._movers.items():
            for number, moments in mover.state_dict()["state"].items():
                found |= with_prefix(f"mover/{name}", with_prefix(str(number), moments))
        return found

    def go_on(self, state: dict[str, Tensor], step: int) -> None:
        """From what `state` gave after so many steps.

        Raises:
            CheckpointError: if it is of another map.
        """
        for name, part in self._parts().items():
            load_weights(part, without_prefix(name, state), source="the state of a training")
        for name, mover in self._movers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in without_prefix(f"mover/{name}", state).items():
                number, _, moment = key.partition(".")
                moments.setdefault(int(number), {})[moment] = value
            mover.load_state_dict({**mover.state_dict(), "state": moments})
        self.step = step

    def _parts(self) -> dict[str, nn.Module]:
        return {"map": self.flow_map, "critic": self.critic, "average": self.average.module}

    def kept(self) -> LatentGenerator[Any]:
        """The model with the average of the weights."""
        model = copy.copy(self.model)
        model.flow_map = copy.deepcopy(self.average.module)
        return model

    def _share(self) -> float:
        """Of the time, what the first process says."""
        own = self.clock.share if self.processes.is_first else 0.0
        return float(self.processes.total(torch.tensor(own, dtype=torch.float64)))

    def _step(self, step: int, share: float) -> dict[str, Tensor]:
        common = step_generator(self.seed, "evaluations", step)
        steps = _STEPS[int(torch.randint(len(_STEPS), (), generator=common))]
        generator = step_generator(self.seed, f"sharpening {self.processes.rank}", step)
        data, cond = self._draw(generator)
        moves = step >= self.alone
        with torch.set_grad_enabled(moves):
            samples = sampled(self.model, self.flow_map, cond, steps, generator)
        fall = min((1 - share) / _FALL, 1.0)
        losses = {"critic": self.objective.critic_loss(self.critic, data, samples, cond, generator)}
        self._move("critic", self.critic, losses["critic"], self.critic_rate * fall)
        if not moves:
            return losses
        self.critic.requires_grad_(False)
        losses["map"] = self.objective.map_loss(self.critic, data, samples, cond, generator)
        self.critic.requires_grad_(True)
        losses["kept"] = self.keeping.loss(self.flow_map, self.kept_rows, steps, generator)
        rate = self.learning_rate * fall * min((step - self.alone + 1) / _RISE, 1.0)
        self._move("map", self.flow_map, losses["map"] + self.keep * losses["kept"], rate)
        self.average.update(self.flow_map, step + _AVERAGED)
        return losses

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Condition]:
        """Data of random categories, and what samples are told to be compared with them."""
        which = torch.multinomial(self._chances, self.batch, replacement=True, generator=generator)
        place = torch.rand(self.batch, generator=generator)
        rows = torch.stack(
            [self._of[k][int(p * len(self._of[k]))] for k, p in zip(which, place, strict=True)]
        )
        return self.data.tokens[rows].float(), names(self.model, self.data.category[rows])

    def _move(self, which: str, module: nn.Module, loss: Tensor, rate: float) -> None:
        loss.backward()
        parameters, mover = list(module.parameters()), self._movers[which]
        self.processes.share_gradients(parameters, self.processes.num)
        nn.utils.clip_grad_norm_(parameters, _CLIP[which])
        for group in mover.param_groups:
            group["lr"] = rate
        mover.step()
        mover.zero_grad(set_to_none=True)


def _adam(module: nn.Module, decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(module.parameters(), betas=_BETAS, weight_decay=decay, fused=True)
