"""Samples moved so that their mean and their spread are those of data, along the data's own axes.

    T(z) = mu + sum_i (m_i + s_i (a_i . (z - mu) - n_i)) a_i + s (z - mu - ...)

a_i are the first principal axes of the data, m_i and n_i the means of data and samples along them,
s_i the ratio of their deviations, and s that of what lies beside all axes, at most 1: the optimal
transport of normal distributions, were the axes theirs. Few-step samples of a map that was trained
for a short time spread too little along the axes of details, and too much beside the data.

Reference: Knott and Smith, "On the optimal mapping of distributions", 1984.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Ratios of deviations are within these: a few hundred samples tell no others.
_RATIOS = (0.3, 2.5)
# Of the data, those that the axes are fitted to; the others tell what lies beside them.
_FITTED = 0.8
_FEWEST = 5


@dataclass(frozen=True)
class Calibration:
    """The map T of one distribution of samples to one of data."""

    centre: Float[Tensor, " d"]
    axes: Float[Tensor, "k d"]
    of_data: Float[Tensor, " k"]
    of_samples: Float[Tensor, " k"]
    """Means along the axes."""
    ratios: Float[Tensor, " k"]
    beside: Float[Tensor, " d"]
    """Mean of samples beside all axes."""
    shrink: float

    @staticmethod
    def fit(
        data: Float[Tensor, "n *s"],
        samples: Float[Tensor, "m *s"],
        principal: tuple[Float[Tensor, " d"], Float[Tensor, "k d"]],
    ) -> Calibration:
        """Of data, samples, and the `principal_axes` of these data.

        Raises:
            ValueError: for fewer than five of either.
        """
        if min(len(data), len(samples)) < _FEWEST:
            raise ValueError(
                f"a calibration needs {_FEWEST} data and samples at least, got {len(data)} and "
                f"{len(samples)}"
            )
        data, samples = data.flatten(1), samples.flatten(1)
        centre, axes = principal
        of_data, of_samples = (data - centre) @ axes.T, (samples - centre) @ axes.T
        others = data[int(_FITTED * len(data)) :] - centre
        rest = samples - centre - of_samples @ axes
        beside = rest.mean(0)
        shrink = (others - others @ axes.T @ axes).square().mean() / (rest - beside).square().mean()
        return Calibration(
            centre, axes, of_data.mean(0), of_samples.mean(0),
            (of_data.std(0) / of_samples.std(0)).clamp(*_RATIOS), beside,
            float(shrink.sqrt().clamp(max=1)),
        )  # fmt: skip

    def __call__(self, samples: Float[Tensor, "n *s"]) -> Float[Tensor, "n *s"]:
        """Where they are to be."""
        x = samples.flatten(1) - self.centre
        along = x @ self.axes.T
        moved = self.of_data + (along - self.of_samples) * self.ratios
        rest = self.shrink * (x - along @ self.axes - self.beside)
        return (self.centre + moved @ self.axes + rest).view_as(samples)


def principal_axes(
    data: Float[Tensor, "n *s"], num: int
) -> tuple[Float[Tensor, " d"], Float[Tensor, "k d"]]:
    """Mean of the first four fifths of data, and at most so many of their axes, widest first."""
    fitted = data.flatten(1)[: int(_FITTED * len(data))]
    centre = fitted.mean(0)
    axes = torch.linalg.svd(fitted - centre, full_matrices=False)[2]
    return centre, axes[: min(num, len(fitted) - 1)]
