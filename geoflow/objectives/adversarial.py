"""Samples of a map against data: what a flow's own ODE lacks, few-step samples can still learn.

A critic D tells states of data from states of samples, both carried back to a time t near the data,
and a map learns to be taken for data. Of each pair, one of each and of one category,

    L_D = softplus(D(y_t) - D(x_t)) + penalty (|D(x_t + reach e) - D(x_t)|^2 + ...) / reach^2
    L_psi = softplus(D(x_t) - D(y_t)),    x data, y = psi(...), e normal

so that a critic compares, and no mode of the data is cheap to leave out. The second part of L_D, of
data and of samples, bounds the critic's slope by differences, without a second derivative.

Unlike the other objectives it has no flow map for its minimiser, but the data themselves.

Reference: Goodfellow et al., 2014, arXiv:1406.2661; beside few-step maps, Kim et al., "Consistency
Trajectory Models", 2023, arXiv:2310.02279; pairs, Jolicoeur-Martineau, 2018, arXiv:1807.00734, and
Huang et al., "The GAN is dead; long live the GAN!", 2024, arXiv:2501.05441; noisy states, Wang et
al., "Diffusion-GAN", 2022, arXiv:2206.02262; slopes by differences, Lin et al., 2025,
arXiv:2501.08316.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.interpolant import Interpolant
from geoflow.typing import Times

Critic = Callable[[Tensor, Tensor, Condition | None], Tensor]
"""Of states (b, *s), times (b,) and conditions: numbers (b, d)."""


@dataclass(frozen=True)
class Adversarial:
    """Losses of a critic, and of the map that it judges."""

    interpolant: Interpolant
    """Path along which states are carried back."""
    noise: float = 0.8
    """Longest way back, in times."""
    clean: float = 0.25
    """Share of the states that are not carried back."""
    penalty: float = 1.0
    """Weight of the critic's slope. It is that in random directions: too high, and the critic
    overlooks samples that are beside the data, each in a direction of its own."""
    reach: float = 0.1
    """Standard deviation of the differences that tell it."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: for shares outside 0 and 1, a negative weight, or no reach.
        """
        if not (0 <= self.noise <= 1 and 0 <= self.clean <= 1):
            raise ValueError(f"noise and clean are within 0 and 1, got {self.noise}, {self.clean}")
        if self.penalty < 0 or self.reach <= 0:
            raise ValueError(
                f"penalty is at least 0 and reach above it, got {self.penalty}, {self.reach}"
            )

    def critic_loss(
        self,
        critic: Critic,
        data: Float[Tensor, "b *s"],
        samples: Float[Tensor, "b *s"],
        cond: Condition | None,
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Loss of the critic; sample i is compared with datum i, of the same condition."""
        t = self._times(data, generator)
        states = [self._back(ends.detach(), t, generator) for ends in (data, samples)]
        moved = [x + self.reach * _normal(x, generator) for x in states]
        judged = critic(torch.cat(states + moved), t.repeat(4), _four(cond))
        of_data, of_samples, *near = judged.chunk(4)
        slope = sum(
            (there - here).square().mean()
            for here, there in zip((of_data, of_samples), near, strict=True)
        )
        compared = nn.functional.softplus(of_samples - of_data).mean()
        return compared + self.penalty / self.reach**2 * slope

    def map_loss(
        self,
        critic: Critic,
        data: Float[Tensor, "b *s"],
        samples: Float[Tensor, "b *s"],
        cond: Condition | None,
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Loss of the map, whose gradient comes by the samples alone."""
        t = self._times(data, generator)
        with torch.no_grad():
            of_data = critic(self._back(data, t, generator), t, cond)
        of_samples = critic(self._back(samples, t, generator), t, cond)
        return nn.functional.softplus(of_data - of_samples).mean()

    def _times(self, like: Tensor, generator: torch.Generator) -> Times:
        """At the data, where precision is decided, and far from them, where no mode is lost."""
        way, kept = torch.rand(2, len(like), generator=generator).to(like)
        return 1 - self.noise * way * (kept >= self.clean)

    def _back(self, ends: Tensor, t: Times, generator: torch.Generator) -> Tensor:
        return self.interpolant.interpolate(_normal(ends, generator), ends, t)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like)


def _four(cond: Condition | None) -> Condition | None:
    if cond is None:
        return None
    return cond[torch.arange(len(next(iter(cond.parts().values())))).repeat(4)]
