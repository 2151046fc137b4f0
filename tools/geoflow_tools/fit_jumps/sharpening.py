"""The last jumps of samples trained against data, by a critic that is trained beside them.

A fitted map follows its own ODE, and can be no better than it. Here samples of one, two and four
evaluations are compared with latents of shapes of their category (`objectives.adversarial`): the
jumps before the last carry no gradient, and answers to all but names alone are kept (`keeping`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from geoflow.backbones.token_critic import TokenCritic
from geoflow.backbones.token_transformer import TokenTransformer
from geoflow.condition import Condition
from geoflow.objectives.adversarial import Adversarial
from geoflow_tools.fit_jumps.drawing import names, sampled
from geoflow_tools.fit_jumps.held_out import HeldOut
from geoflow_tools.fit_jumps.map_training import MapTraining

# The average starts at trained weights, which it need not forget at once.
_AVERAGED = 2000
# Of the time, the last part over which rates fall; steps over which the map's rises.
_FALL, _RISE = 0.4, 100
# No momentum: the other player has moved since.
_BETAS = (0.0, 0.98)
_CLIP = {"map": 1.0, "critic": 5.0}


@dataclass(kw_only=True)
class Sharpening(MapTraining):
    """Samples against data."""

    average_decay = 0.995
    settles = False

    batch: int = 32
    learning_rate: float = 6e-5
    kept_rows: int = 12
    keep: float = 2.0
    critic_rate: float = 6e-4
    """Peak rate of the critic."""
    penalty: float = 1.0
    """Weight of the critic's slope."""
    alone: int = 80
    """Steps of the critic before the map moves."""

    def __post_init__(self) -> None:
        """Make the critic and what moves both.

        Raises:
            ValueError: for an emphasis below 0, or one that draws nothing.
        """
        super().__post_init__()
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network = cast(TokenTransformer, self.teacher.backbone)
            depths = {max(part * len(network.blocks) // 3, 1) for part in (1, 2)}
            self.critic = TokenCritic(network, tuple(sorted(depths)))
        self.objective = Adversarial(self.teacher.interpolant, penalty=self.penalty)
        self.movers = {"map": _adam(self.flow_map, 0.0), "critic": _adam(self.critic, 0.01)}
        self._of = {
            int(index): (self.data.category == index).nonzero().flatten()
            for index in self._categories
        }

    def parts(self) -> dict[str, nn.Module]:
        """The map, its average, and the critic."""
        return {**super().parts(), "critic": self.critic}

    def judged(self, held_out: HeldOut) -> dict[str, Any]:
        """Also whether the critic knows its data by heart."""
        known = held_out.known_by_heart(self.critic, self.data)
        return {**super().judged(held_out), "known_by_heart": known}

    def take_step(self, steps: int, share: float, generator: torch.Generator) -> dict[str, Tensor]:
        """The critic's, then that of the map."""
        data, cond = self._draw(generator)
        moves = self.step >= self.alone
        with torch.set_grad_enabled(moves):
            samples = sampled(self.model, self.flow_map, cond, steps, generator)
        fall = min((1 - share) / _FALL, 1.0)
        losses = {"critic": self.objective.critic_loss(self.critic, data, samples, cond, generator)}
        rate = self.critic_rate * fall
        self.move(self.critic, losses["critic"], rate, _CLIP["critic"], "critic")
        if not moves:
            return losses
        self.critic.requires_grad_(False)
        losses["map"] = self.objective.map_loss(self.critic, data, samples, cond, generator)
        self.critic.requires_grad_(True)
        losses["kept"] = self.keeping.loss(self.flow_map, self.kept_rows, steps, generator)
        rate = self.learning_rate * fall * min((self.step - self.alone + 1) / _RISE, 1.0)
        whole = losses["map"] + self.keep * losses["kept"]
        self.move(self.flow_map, whole, rate, _CLIP["map"], "map")
        self.average.update(self.flow_map, self.step + _AVERAGED)
        return losses

    def _draw(self, generator: torch.Generator) -> tuple[Tensor, Condition]:
        """Data of random categories, and what samples are told to be compared with them."""
        category = self.draw_categories(generator)
        place = torch.rand(self.batch, generator=generator)
        rows = torch.stack(
            [
                self._of[c][int(p * len(self._of[c]))]
                for c, p in zip(category.tolist(), place, strict=True)
            ]
        )
        return self.data.tokens[rows].float(), names(self.model, category)


def _adam(module: nn.Module, decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(module.parameters(), betas=_BETAS, weight_decay=decay, fused=True)
