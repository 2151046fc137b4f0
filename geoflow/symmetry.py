"""Symmetry groups of a generator, as the frame that its networks are given.

    frame   three vectors (right, up, front): samples stand in the frame that is asked for
    so2     the up vector alone: samples may turn about it
    so3     no vector: samples come in any pose

The networks commute with rotations of shape and frame together in all three.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Symmetry = Literal["frame", "so2", "so3"]
FRAME_SIZES: dict[Symmetry, int] = {"frame": 3, "so2": 1, "so3": 0}


def upright_frame(symmetry: Symmetry, num: int) -> Float[Tensor, "b m 3"] | None:
    """The frame of shapes that stand upright: right, up and front; up alone; or none.

    Raises:
        ValueError: for an unknown symmetry.
    """
    if symmetry == "frame":
        return torch.eye(3).expand(num, 3, 3)
    if symmetry == "so2":
        return torch.eye(3)[1:2].expand(num, 1, 3)
    if symmetry == "so3":
        return None
    raise ValueError(f"symmetry must be one of {', '.join(FRAME_SIZES)}, got {symmetry!r}")
