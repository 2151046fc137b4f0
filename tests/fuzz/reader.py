"""What reads a kind of files, and whole files of it to damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch


@dataclass(frozen=True)
class Reader:
    """Whole files of a kind, and what reads them; it raises FloatingPointError for what is not
    finite, and says nothing else of it."""

    write: Callable[[Path], None]
    read: Callable[[Path], None]


def finite(values: np.ndarray | torch.Tensor) -> None:
    """Fail, as no reader may, for numbers that are not finite."""
    if not np.isfinite(np.asarray(values, dtype=float)).all():
        raise AssertionError("numbers that are not finite came out")
