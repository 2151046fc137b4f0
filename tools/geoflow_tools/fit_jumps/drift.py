"""Many samples that drift together to the data, and the way that leads any other sample along.

In each round every sample moves by a share of `objectives.drifting`, of all data and all samples as
they are by then, along the data's principal axes. What the samples were in each round is kept, so
that their way is a map of any sample, which a network can be fitted to.

    T = T_n o ... o T_1,    T_i(z) = z + rate V_i(z)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.objectives.drifting import drifting_field

_ROUNDS, _RATE = 5, 0.5
# Of the median distance of samples to their nearest datum, which is taken over so many.
_WIDTH, _MEASURED = 0.3, 256


@dataclass(frozen=True)
class Drift:
    """The map T of one distribution of samples to one of data."""

    axes: Float[Tensor, "k d"]
    """Orthonormal; what lies beside them stays."""
    data: Float[Tensor, "n k"]
    """Along the axes."""
    rounds: tuple[tuple[Float[Tensor, "n k"], float], ...]
    """Samples along the axes before each, and its width."""

    @staticmethod
    def fit(
        data: Float[Tensor, "n *s"], samples: Float[Tensor, "m *s"], axes: Float[Tensor, "k d"]
    ) -> Drift:
        """Of as many data as samples, the first of each."""
        num = min(len(data), len(samples))
        goal, x = (some[:num].flatten(1) @ axes.T for some in (data, samples))
        rounds = []
        for _ in range(_ROUNDS):
            near = torch.cdist(x[:_MEASURED], goal).amin(1).median()
            rounds.append((x, _WIDTH * float(near)))
            x = x + _RATE * drifting_field(x, goal, x, rounds[-1][1], themselves=True)
        return Drift(axes, goal, tuple(rounds))

    def __call__(self, samples: Float[Tensor, "n *s"]) -> Float[Tensor, "n *s"]:
        """Where other samples drift to."""
        start = x = samples.flatten(1) @ self.axes.T
        for known, width in self.rounds:
            x = x + _RATE * drifting_field(x, self.data, known, width)
        return samples + ((x - start) @ self.axes).view_as(samples)
