"""Where samples of a map drift to become data: towards the data near them, away from samples.

    V(x) = sum_i a_i y_i - sum_j b_j x_j,   a, b = softmax(-|x - y_i| / w), softmax(-|x - x_j| / w)

with data y and other samples x_j: the difference of two mean shifts, which vanishes where samples
and data are of one distribution. A map is trained to psi(...) = x + V(x), without a gradient on the
right; or many samples are moved together first, and a map is fitted to the whole way. A narrow
field brings samples to modes, and only a wide one, of the distance of modes, evens their numbers.

As of `adversarial`, the minimiser is no flow map, but the data themselves; there is no second
network, and nothing that could play against another.

Reference: Deng et al., "Generative modeling via drifting", 2026, arXiv:2602.04770, eq. 6 to 11
(there with weights that are also shared out among the samples).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def drifting_field(
    x: Float[Tensor, "n d"],
    data: Float[Tensor, "m d"],
    samples: Float[Tensor, "k d"],
    width: float,
    *,
    themselves: bool = False,
) -> Float[Tensor, "n d"]:
    """V at points, of as many data as samples: from unequal numbers it drifts though both are one.

    Args:
        x: the points.
        data: of the distribution to become.
        samples: of that which is.
        width: w, in units of distance.
        themselves: the samples are the points, and none repels itself.

    Raises:
        ValueError: for no data or samples, a width that is not positive, or points that are
            samples in another number.
    """
    if min(len(data), len(samples)) == 0 or width <= 0:
        raise ValueError(
            f"data, samples and a width above 0 are needed, got {len(data)}, {len(samples)}, "
            f"{width}"
        )
    away = torch.cdist(x, samples)
    if themselves:
        if away.shape[0] != away.shape[1]:
            raise ValueError(f"{len(x)} points are not {len(samples)} samples")
        away.fill_diagonal_(torch.inf)
    towards = torch.softmax(-torch.cdist(x, data) / width, 1) @ data
    return towards - torch.softmax(-away / width, 1) @ samples
