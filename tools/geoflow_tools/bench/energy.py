"""The energy distance of two sets of vectors, which sees place, width and shape alike.

2 E|x - y| - E|x - x'| - E|y - y'| over Euclidean distances (Székely and Rizzo, "Energy
statistics", 2013), without the pairs of a vector with itself: near zero, or a little below, where
both sets are of one distribution. In many dimensions 1-NNA overlooks samples that are too wide,
and W2 of finite sets prefers those that have shrunk; this one grows with both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def energy_distance(a: Float[Tensor, "n *s"], b: Float[Tensor, "m *s"]) -> float:
    """Between two sets, by Euclidean distance of all their numbers.

    Raises:
        ValueError: for sets of fewer than two.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"two sets of at least 2 are compared, got {len(a)} and {len(b)}")
    a, b = a.flatten(1), b.flatten(1)
    within = [torch.pdist(x).mean() for x in (a, b)]
    return float(2 * torch.cdist(a, b).mean() - within[0] - within[1])
