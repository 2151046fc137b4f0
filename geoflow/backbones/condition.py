"""How networks read a condition: times and category as an embedding, the other parts checked.

Symmetry of any group: times and category are scalars, and frames, tokens and points are handed
over as they come.

Reference: averaged time embeddings, Li et al., "Cumulative flow maps", 2026, arXiv:2605.03623.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geoflow.backbones.times import TimeEmbedding
from geoflow.condition import ANY, Condition
from geoflow.typing import Times


class ConditionReader(nn.Module):
    """The one reader of `Condition`; its embedding is the mean of two times', plus a category's.

    Args:
        channels: of the embedding.
        num_categories: rows of the table of categories; 0 = categories are not read.
        frame_size: vectors that a frame must have, for `frame`.
        guided: whether guidance is read, 1 where none is given, and category -1, any, which adds
            nothing; it is the default then.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_categories: int = 0,
        frame_size: int = 0,
        guided: bool = False,
    ) -> None:
        super().__init__()
        self.num_categories, self.frame_size = num_categories, frame_size
        self.time_from = TimeEmbedding(channels)
        self.time_to = TimeEmbedding(channels)
        self.category = nn.Embedding(num_categories, channels) if num_categories else None
        self.guidance = TimeEmbedding(channels) if guided else None

    def forward(self, t: Times, r: Times, cond: Condition | None) -> Float[Tensor, "b d"]:
        """Embed the times, the category (default: the first, or any) and the guidance.

        Raises:
            ValueError: on the CPU, for a category that is not in the table.
        """
        condition = (self.time_from(t) + self.time_to(r)) / 2
        if self.guidance is not None:
            weight = None if cond is None else cond.guidance
            weight = torch.ones_like(t) if weight is None else weight.to(t.dtype)
            # From 0 without guidance to 1 for one that is boundless.
            condition = condition + self.guidance(1 - 1 / weight)
        if self.category is not None:
            index = None if cond is None else cond.category
            if index is not None:
                _check_category(
                    index, self.num_categories, lowest=0 if self.guidance is None else ANY
                )
                named = (index >= 0)[:, None].to(condition.dtype)
                condition = condition + named * self.category(index.clamp(min=0))
            elif self.guidance is None:
                condition = condition + self.category.weight[0]
        return nn.functional.silu(condition)

    def frame(self, cond: Condition | None) -> Float[Tensor, "b m 3"] | None:
        """The condition's frame.

        Raises:
            ValueError: if it does not have `frame_size` vectors.
        """
        frame = None if cond is None else cond.frame
        check_frame(frame, self.frame_size)
        return frame

    @staticmethod
    def tokens(cond: Condition | None) -> Float[Tensor, "b k c"]:
        """The condition's tokens.

        Raises:
            ValueError: if there are none.
        """
        return _needed(cond, "tokens", "the latent of a shape")

    @staticmethod
    def points(cond: Condition | None) -> Float[Tensor, "b n 3"]:
        """The condition's points.

        Raises:
            ValueError: if there are none.
        """
        return _needed(cond, "points", "the points of a surface")


def check_frame(frame: Float[Tensor, "b m 3"] | None, size: int, name: str = "cond.frame") -> None:
    """Refuse a frame of another size, or none where one is needed.

    Raises:
        ValueError: if the frame does not have `size` vectors.
    """
    found = 0 if frame is None else frame.shape[1]
    if found != size:
        raise ValueError(f"{name} must have {size} vectors for this model, got {found}")


def _needed(cond: Condition | None, name: str, what: str) -> Tensor:
    part: Tensor | None = None if cond is None else getattr(cond, name)
    if part is None:
        raise ValueError(f"this network needs cond.{name}, {what}, got none: give it in cond")
    return part


def _check_category(category: Int[Tensor, " b"], num: int, *, lowest: int) -> None:
    # Reading a value would break a compiled graph, and make the host wait for the GPU, whose
    # kernel refuses such an index itself.
    if torch.compiler.is_compiling() or category.device.type != "cpu":
        return
    wrong = (category < lowest) | (category >= num)
    if wrong.any():
        found = category[wrong][0].item()
        raise ValueError(f"cond.category must be in [{lowest}, {num}) for this model, got {found}")
