"""Random generators as functions of a seed, a purpose and a number, with no state to store."""

from __future__ import annotations

import torch


def step_generator(seed: int, purpose: str, step: int) -> torch.Generator:
    """Generator of one training step, or of one sample, on the CPU.

    A resumed run draws what the uninterrupted run would have drawn, and sample i is the same
    in any batch.
    """
    mixed = 0
    for part in (seed, *purpose.encode(), step):
        # A linear congruential mix (Knuth's MMIX constants) keeps neighbours apart.
        mixed = (6364136223846793005 * (mixed ^ part) + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(mixed)
