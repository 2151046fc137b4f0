"""Symmetry groups of a generator, as the frame that its networks are given.

    frame   three vectors (right, up, front): samples stand in the frame that is asked for
    so2     the up vector alone: samples may turn about it
    so3     no vector: samples come in any pose

The networks commute with rotations of shape and frame together in all three, and with reflections:
`so2` and `so3` are really O(2) and O(3), under which a shape and its mirror image are equally
likely. For shapes that are handed (screws, letters, left shoes) take `frame`: a reflected frame is
another one, so that the two images are told apart. With a full frame any network can be made
equivariant by turning its input into the frame; what symmetry gains there is weights that all poses
share. `so3` gains where data have no pose of their own.
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


def turn_to(frame: Float[Tensor, "b m 3"]) -> Float[Tensor, "b 3 3"]:
    """Matrices M that turn upright row vectors v into a frame, v M.

    An up vector alone is reached the shortest way; straight down, about the right vector.

    Raises:
        ValueError: if the frame's vectors are not of unit length and perpendicular.
    """
    size = frame.shape[1]
    gram = frame @ frame.mT
    if not torch.allclose(gram, torch.eye(size).to(gram), atol=1e-4):
        raise ValueError("the vectors of a frame must be of unit length and perpendicular")
    if size == 3:
        return frame
    right, _, front = torch.eye(3).to(frame)
    up = frame[:, 0]
    # Images of right and front under I + K + K^2 / (1 + y), K v = (0, 1, 0) x up x v.
    x, y, z = up.unbind(-1)
    share = 1 / (1 + y).clamp(min=1e-6)
    turned_right = torch.stack([1 - x * x * share, -x, -x * z * share], dim=-1)
    turned_front = torch.stack([-x * z * share, -z, 1 - z * z * share], dim=-1)
    is_down = (y < 1e-5 - 1)[:, None]
    turned_right = torch.where(is_down, right, turned_right)
    turned_front = torch.where(is_down, -front, turned_front)
    return torch.stack([turned_right, up, turned_front], dim=1)
