"""Many samples that drift together to the data, and the way that leads any other sample along.

In each round every sample moves by a share of `objectives.drifting`, of all data and all samples as
they are by then, along the data's principal axes. What the samples were in each round is kept, so
that their way is a map of any sample, which a network can be fitted to. Several sets of samples
lead others along several ways, whose mean depends less on which samples were drawn.

    T = mean over sets of T_n o ... o T_1,    T_i(z) = z + rate V_i(z)
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
    ways: tuple[tuple[tuple[Float[Tensor, "n k"], float], ...], ...]
    """Of each set of samples, these along the axes before each round, and the round's width."""

    @staticmethod
    def fit(
        data: Float[Tensor, "n *s"], samples: Float[Tensor, "m *s"], axes: Float[Tensor, "k d"]
    ) -> Drift:
        """Of the first data, and of all samples in sets of as many: a rest is left."""
        num = min(len(data), len(samples))
        goal, all_samples = (some.flatten(1) @ axes.T for some in (data[:num], samples))
        ways = []
        for x in all_samples[: len(samples) // num * num].split(num):
            rounds = []
            for _ in range(_ROUNDS):
                near = torch.cdist(x[:_MEASURED], goal).amin(1).median()
                rounds.append((x, _WIDTH * float(near)))
                x = x + _RATE * drifting_field(x, goal, x, rounds[-1][1], themselves=True)
            ways.append(tuple(rounds))
        return Drift(axes, goal, tuple(ways))

    def __call__(self, samples: Float[Tensor, "n *s"]) -> Float[Tensor, "n *s"]:
        """Where other samples drift to, on the mean of all ways."""
        start = samples.flatten(1) @ self.axes.T
        ends = []
        for rounds in self.ways:
            x = start
            for known, width in rounds:
                x = x + _RATE * drifting_field(x, self.data, known, width)
            ends.append(x)
        moved = torch.stack(ends).mean(0) - start
        return samples + (moved @ self.axes).view_as(samples)
