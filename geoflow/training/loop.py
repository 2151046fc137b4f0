"""What every training stage shares: progress, per-step randomness, symmetry's frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Symmetry = Literal["frame", "so2", "so3"]
FRAME_SIZES: dict[Symmetry, int] = {"frame": 3, "so2": 1, "so3": 0}


@dataclass(frozen=True)
class Progress:
    """State of a stage after one step."""

    stage: str
    step: int
    steps: int
    loss: float
    terms: dict[str, float]


def step_generator(seed: int, stage: str, step: int) -> torch.Generator:
    """Randomness of one step, a function of (seed, stage, step) alone.

    A resumed run draws what the uninterrupted run would have drawn, with no state to store.
    """
    mixed = 0
    for part in (seed, *stage.encode(), step):
        # A 64-bit linear congruential mix (Knuth, MMIX constants) keeps neighbours apart.
        mixed = (6364136223846793005 * (mixed ^ part) + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(mixed)


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
