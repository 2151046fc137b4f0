"""Neighbours of points: `knn`, `radius`, `fps`, `chamfer`, by whichever library is present.

The first backend of BACKENDS that is present, has the operation, and covers the tensors' type and
device answers; GEOFLOW_NEIGHBORS=pytorch3d | torch-cluster | plain makes one of them the first to
be asked. All give the same answer: distances are recomputed from the points by one formula, and
ties go to the lowest index. Distances are unsquared, in the units of the points, and
differentiable in both modes; where points coincide their derivative is 0.
"""

from __future__ import annotations

import math
import os
import warnings
from functools import cache
from importlib import util
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.geometry.neighbors.base import OPERATIONS, Backend
from geoflow.geometry.neighbors.exact import Indices, root, rounding, settle, squared_distances
from geoflow.geometry.neighbors.plain import Plain
from geoflow.geometry.neighbors.with_pytorch3d import PyTorch3D
from geoflow.geometry.neighbors.with_torch_cluster import TorchCluster

__all__ = [
    "BACKENDS",
    "ENVIRONMENT",
    "OPERATIONS",
    "Backend",
    "Neighbors",
    "WithinRadius",
    "backend_for",
    "chamfer",
    "fps",
    "knn",
    "missing",
    "radius",
]

ENVIRONMENT = "GEOFLOW_NEIGHBORS"
BACKENDS: dict[str, Backend] = {
    "pytorch3d": PyTorch3D(),
    "torch-cluster": TorchCluster(),
    "plain": Plain(),
}


class Neighbors(NamedTuple):
    """Nearest points, nearest first."""

    distances: Float[Tensor, "b m k"]
    indices: Int[Tensor, "b m k"]


class WithinRadius(NamedTuple):
    """Points within a radius, nearest first, then -1; and how many there are."""

    indices: Int[Tensor, "b m k"]
    counts: Int[Tensor, "b m"]


def knn(points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"], k: int) -> Neighbors:
    """The k nearest points of every query, nearest first; equal distances by lowest index.

    Raises:
        ValueError: for k outside 1..n, shapes, types or devices that do not fit, or points that
            are not finite.
    """
    backend = _checked("knn", points, queries)
    _check_count("k", k, points)
    indices = Indices.apply(lambda p, q: settle(backend.nearest, p, q, k), points, queries)
    return Neighbors(root(squared_distances(points, queries, indices)), indices)


def radius(
    points: Float[Tensor, "b n 3"],
    queries: Float[Tensor, "b m 3"],
    radius: float,
    max_neighbors: int,
) -> WithinRadius:
    """The points at most `radius` from every query, the nearest `max_neighbors` of them.

    Order and ties as of `knn`; a point at the radius is within.

    Raises:
        ValueError: for a radius that is not positive and finite, max_neighbors < 1, shapes, types
            or devices that do not fit, or points that are not finite.
    """
    backend = _checked("radius", points, queries)
    if not (0 < radius < math.inf):
        raise ValueError(f"radius must be positive and finite, got {radius}")
    if max_neighbors < 1:
        raise ValueError(f"max_neighbors must be at least 1, got {max_neighbors}")

    def solve(p: Tensor, q: Tensor) -> Tensor:
        k = min(max_neighbors, p.shape[1])
        reach = radius * (1 + rounding(p.dtype))
        found = settle(lambda p, q, k: backend.within(p, q, k, reach), p, q, k)
        near = (found >= 0) & (root(squared_distances(p, q, found)) <= radius)
        found = found.masked_fill(~near, -1)
        return torch.nn.functional.pad(found, (0, max_neighbors - k), value=-1)

    indices = Indices.apply(solve, points, queries)
    return WithinRadius(indices, (indices >= 0).sum(-1))


def fps(points: Float[Tensor, "b n 3"], num: int, start: int = 0) -> Int[Tensor, "b num"]:
    """Farthest-point sampling: every next point is the farthest from those before it.

    Deterministic, without repetition, equal distances by lowest index.

    Reference: Eldar et al., "The farthest point strategy for progressive image sampling", 1997.

    Raises:
        ValueError: for num outside 1..n, start outside 0..n-1, wrong shapes or types, or points
            that are not finite.
    """
    backend = _checked("fps", points)
    _check_count("num", num, points)
    n = points.shape[1]
    if not 0 <= start < n:
        raise ValueError(f"start must be between 0 and {n - 1}, got {start}")

    def solve(p: Tensor) -> Tensor:
        # The start goes first; the order of the others, which breaks ties, stays.
        order = torch.arange(n, device=p.device)
        order = torch.cat([order[start : start + 1], order[:start], order[start + 1 :]])
        moved = p[:, order].contiguous()
        found = backend.farthest(moved, num)
        # When only points that coincide with chosen ones are left, libraries repeat themselves.
        if bool((found.sort(-1).values.diff() == 0).any()):
            found = Plain().farthest(moved, num)
        return order[found]

    return Indices.apply(solve, points)


def chamfer(a: Float[Tensor, "b n 3"], b: Float[Tensor, "b m 3"]) -> Float[Tensor, " b"]:
    """Chamfer distance: unsquared mean to the nearest point, averaged over both directions.

    As `geoflow.geometry.metrics.chamfer_distance`, for tensors. Of equally near points any one
    receives the derivative.

    Raises:
        ValueError: for shapes, types or devices that do not fit, or points that are not finite.
    """
    backend = _checked("chamfer", a, b)
    if not a.shape[1]:
        raise ValueError("chamfer needs points on both sides, got none")

    def one_way(points: Tensor, queries: Tensor) -> Tensor:
        nearest = Indices.apply(lambda p, q: backend.nearest(p, q, 1), points, queries)
        return root(squared_distances(points, queries, nearest)).mean((1, 2))

    return (one_way(a, b) + one_way(b, a)) / 2


def backend_for(
    operation: str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> str:
    """Key of the backend that answers an operation on tensors of a type on a device.

    Raises:
        ValueError: if GEOFLOW_NEIGHBORS is not a key of BACKENDS.
        ImportError: if it names one that is absent.
    """
    names = list(BACKENDS)
    forced = os.environ.get(ENVIRONMENT)
    if forced:
        if forced not in BACKENDS:
            raise ValueError(f"{ENVIRONMENT} must be one of {', '.join(BACKENDS)}, got {forced!r}")
        if reason := missing(forced):
            raise ImportError(
                f"{ENVIRONMENT}={forced}, but {reason}; {BACKENDS[forced].install}, "
                f"or unset {ENVIRONMENT}"
            )
        names = names[names.index(forced) :]
    for name in names:
        backend = BACKENDS[name]
        if operation not in backend.operations or missing(name):
            continue
        if backend.covers(dtype, torch.device(device)):
            return name
    raise ValueError(f"operation must be one of {', '.join(OPERATIONS)}, got {operation!r}")


@cache
def missing(name: str) -> str | None:
    """Why a backend of BACKENDS cannot be used; None if it can. Loads it."""
    package = BACKENDS[name].package
    if util.find_spec(package) is None:
        return f"{package} is not installed"
    try:
        BACKENDS[name].load()
    except (ImportError, OSError) as error:
        reason = f"{package} does not load ({str(error).splitlines()[0]})"
        warnings.warn(f"{reason}; another backend finds neighbours", RuntimeWarning, stacklevel=2)
        return reason
    return None


def _checked(operation: str, *clouds: Tensor) -> Backend:
    first = clouds[0]
    for cloud in clouds:
        if cloud.ndim != 3 or cloud.shape[-1] != 3 or len(cloud) != len(first):
            shapes = " and ".join(str(tuple(c.shape)) for c in clouds)
            raise ValueError(f"points must be of shape (b, n, 3), b alike, got {shapes}")
        if cloud.dtype not in (torch.float32, torch.float64) or cloud.dtype != first.dtype:
            types = " and ".join(str(c.dtype) for c in clouds)
            raise ValueError(f"points must all be float32 or all float64, got {types}")
        if cloud.device != first.device:
            raise ValueError(f"points must be on one device, got {first.device}, {cloud.device}")
        if not cloud.numel():
            raise ValueError(f"points must not be empty, got shape {tuple(cloud.shape)}")
    return BACKENDS[backend_for(operation, first.dtype, first.device)]


def _check_count(name: str, count: int, points: Tensor) -> None:
    if not 1 <= count <= points.shape[1]:
        raise ValueError(f"{name} must be between 1 and the {points.shape[1]} points, got {count}")
