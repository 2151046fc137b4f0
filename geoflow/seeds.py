"""Random generators as functions of a seed, a purpose and a number, with no state to store."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


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


def great_circle(
    a: Float[Tensor, "*s"], b: Float[Tensor, "*s"], share: float
) -> Float[Tensor, "*s"]:
    """Noise on the way from a (share 0) to b (share 1), as likely as its ends.

        (sin((1 - share) w) a + sin(share w) b) / sin w,    w the angle between a and b

    A straight line would pass near the origin, where Gaussian noise of many numbers never is.

    Reference: White, "Sampling Generative Networks", 2016, arXiv:1609.04468, section 2.1.

    Raises:
        ValueError: if share is not in [0, 1], or a and b are opposite.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be in [0, 1], got {share}")
    cosine = torch.dot(a.flatten(), b.flatten()) / (a.norm() * b.norm())
    if cosine <= -1 + 1e-6:
        raise ValueError("opposite noises have no shortest way between them")
    angle = torch.arccos(cosine.clamp(max=1.0))
    if angle < 1e-4:
        return torch.lerp(a, b, share)
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
