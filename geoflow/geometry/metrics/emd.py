"""Earth mover's distance of point clouds of one size: exact, unsquared, a mean per point.

EMD(a, b) = min over permutations π of mean_i |a_i − b_π(i)|. The network simplex of POT finds the
optimum; the auction-like `approxmatch` kernel behind many published tables does not.

Reference: Rubner et al., "The earth mover's distance", 2000; Flamary et al., "POT: Python optimal
transport", 2021.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

# The simplex ends by itself; POT's own limit of 100,000 pivots would stop it early.
_MAX_PIVOTS = 100_000_000


def earth_movers_distance(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> float:
    """Mean distance between the points of an optimal matching, in the units of the points.

    Raises:
        ValueError: if the clouds differ in size, are empty, or are not finite.
        ImportError: if POT is not installed.
        FloatingPointError: if the solver did not reach the optimum.
    """
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) == 0:
        raise ValueError(f"clouds must have one shape (n, 3), n > 0, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("clouds must be finite")
    distance = cdist(a.astype(np.float64), b.astype(np.float64))
    cost, log = import_pot().emd2([], [], distance, numItermax=_MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise FloatingPointError(f"exact EMD was not reached: {log['warning']}")
    return float(cost)


def import_pot() -> ModuleType:
    """POT's module, imported late: it takes seconds.

    Raises:
        ImportError: if it is not installed, with what to do.
    """
    try:
        import ot
    except ImportError as error:
        raise ImportError("exact EMD needs POT: pip install POT, or leave EMD out") from error
    return ot
