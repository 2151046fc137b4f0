"""How networks of points read times and category: symmetry of any group, since both are scalars."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.times import TimeEmbedding
from geoflow.condition import Condition
from geoflow.typing import Times


class ConditionEmbedding(nn.Module):
    """The mean of two embedded times, plus an embedded category (default: the first)."""

    def __init__(self, channels: int, num_categories: int) -> None:
        super().__init__()
        self.time_from = TimeEmbedding(channels)
        self.time_to = TimeEmbedding(channels)
        self.category = nn.Embedding(num_categories, channels)

    def forward(self, t: Times, r: Times, cond: Condition | None) -> Float[Tensor, "b d"]:
        """Embed."""
        category = None if cond is None else cond.category
        if category is None:
            category = torch.zeros(len(t), dtype=torch.long, device=t.device)
        times = (self.time_from(t) + self.time_to(r)) / 2
        return nn.functional.silu(times + self.category(category))


def frame_of(cond: Condition | None, size: int) -> Float[Tensor, "b m 3"] | None:
    """The condition's frame.

    Raises:
        ValueError: if it does not have `size` vectors.
    """
    frame = None if cond is None else cond.frame
    found = 0 if frame is None else frame.shape[1]
    if found != size:
        raise ValueError(f"cond.frame must have {size} vectors for this model, got {found}")
    return frame
