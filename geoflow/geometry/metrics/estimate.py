"""A measured number with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Estimate:
    """A mean over n cases; `standard_error` is None where none is defined."""

    value: float
    standard_error: float | None = None


def share(hits: Bool[np.ndarray, " n"]) -> Estimate:
    """Share of hits, with the binomial standard error √(p (1 − p) / n).

    Raises:
        ValueError: if there are no cases.
    """
    if len(hits) == 0:
        raise ValueError("a share needs at least one case")
    value = float(np.count_nonzero(hits)) / len(hits)
    return Estimate(value, math.sqrt(value * (1 - value) / len(hits)))


def mean(values: Float[np.ndarray, " n"]) -> Estimate:
    """Mean of independent values, with the standard error s / √n; None for a single value.

    Raises:
        ValueError: if there are no values.
    """
    if len(values) == 0:
        raise ValueError("a mean needs at least one value")
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(float(np.mean(values)), error)
