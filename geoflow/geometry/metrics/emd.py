"""Earth mover's distance of point clouds of one size: exact, unsquared, a mean per point.

EMD(a, b) = min over permutations π of mean_i |a_i − b_π(i)|. The network simplex of POT finds the
optimum; the auction-like `approxmatch` kernel behind many published tables does not.

Of many distances those that matter are few where only the nearest is asked for, and what bounds
them from below costs little, by Kantorovich's duality:

    EMD(a, b) = max of mean_i u_i + mean_j v_j over u, v with u_i + v_j <= |a_i - b_j|.

Any u gives a bound with v_j = min_i |a_i - b_j| - u_i: that of another pair that a is in, for one.
And any f with |f(x) - f(y)| <= |x - y| gives the distance of its values on a and on b, sorted.

Reference: Rubner et al., "The earth mover's distance", 2000; Flamary et al., "POT: Python optimal
transport", 2021; duality, Peyré and Cuturi, "Computational optimal transport", 2019, section 2.5
and proposition 6.1, arXiv:1803.00567.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

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
    return transport(distances_between(a, b)).cost


class Transport(NamedTuple):
    """An optimal matching of two clouds of n points."""

    cost: float
    """Mean distance of its pairs."""
    first: Float[np.ndarray, " n"]
    """Potentials u of the first cloud's points."""
    second: Float[np.ndarray, " n"]
    """Potentials v of the second's."""


def distances_between(
    a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, "n m"]:
    """All distances of two clouds' points, in double precision."""
    found: Float[np.ndarray, "n m"] = cdist(a.astype(np.float64), b.astype(np.float64))
    return found


def transport(distance: Float[np.ndarray, "n n"]) -> Transport:
    """The optimal matching of two clouds, given the distances between their points.

    Raises:
        ImportError: if POT is not installed.
        FloatingPointError: if the solver did not reach the optimum.
    """
    cost, log = import_pot().emd2([], [], distance, numItermax=_MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise FloatingPointError(f"exact EMD was not reached: {log['warning']}")
    return Transport(float(cost), log["u"], log["v"])


def dual_bound(distance: Float[np.ndarray, "n n"], potentials: Float[np.ndarray, " n"]) -> float:
    """What EMD is at least, by any potentials of the first cloud's points."""
    first = potentials.astype(np.float64)
    return float(first.mean() + (distance - first[:, None]).min(0).mean())


def lipschitz_values(
    clouds: Float[np.ndarray, "k n 3"], num: int = 96, seed: int = 0
) -> Float[np.ndarray, "num k n"]:
    """Sorted values of functions of the points that grow no faster than the way does.

    Half of them are coordinates along directions, the three axes first; the others are distances
    from places in the clouds' box. The mean difference of two clouds' values is at most their EMD.
    """
    rng, half = np.random.default_rng(seed), num // 2
    directions = rng.normal(size=(half, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[:3] = np.eye(3)[:half]
    low, high = clouds.min((0, 1)), clouds.max((0, 1))
    values = np.empty((num, *clouds.shape[:2]), dtype=np.float32)
    for row, direction in enumerate(directions):
        values[row] = clouds @ direction
    for row, place in enumerate(rng.uniform(low, high, (num - half, 3)), half):
        values[row] = np.linalg.norm(clouds - place, axis=-1)
    values.sort(axis=-1)
    return values


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
