"""Random generators as functions of a seed, a purpose and a number, with no state to store."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

MAX_SEED = 2**63 - 1
"""Seeds are whole numbers from 0 to this."""
# Of torch's generator on the CPU: it reads only so many bits of a seed, and its state holds its
# 624 words from this byte on, eight bytes each.
_BITS, _WORDS_AT = 32, 24


def check_seed(seed: int) -> None:
    """Raise ValueError for what is no seed."""
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be from 0 to {MAX_SEED} (2^63 - 1), got {seed}")


def seeded_generator(seed: int, *more: int) -> torch.Generator:
    """Generator of a seed on the CPU, and of further numbers for a seed of more than 32 bits.

    torch reads 32 bits of a seed, so that 2^32 would be 0 again. The Mersenne twister of a longer
    one has the whole state that numpy makes of all numbers.

    Raises:
        ValueError: for what is no seed.
    """
    check_seed(seed)
    generator = torch.Generator()
    if seed >> _BITS == 0:
        return generator.manual_seed(seed)
    twister = np.random.MT19937(np.random.SeedSequence([seed, *more]))
    words = twister.state["state"]["key"].astype("<u8").view(np.uint8)
    state = generator.manual_seed(0).get_state()
    state[_WORDS_AT : _WORDS_AT + len(words)] = torch.from_numpy(words)
    return generator.set_state(state)


def step_generator(seed: int, purpose: str, step: int) -> torch.Generator:
    """Generator of one training step, or of one sample, on the CPU.

    A resumed run draws what the uninterrupted run would have drawn, and sample i is the same
    in any batch.

    Raises:
        ValueError: for what is no seed.
    """
    check_seed(seed)
    if seed >> _BITS:
        return seeded_generator(seed, *purpose.encode(), step)
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
