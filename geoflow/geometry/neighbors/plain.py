"""Neighbours by torch alone, and by SciPy's k-d tree for many points on the CPU."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from geoflow.geometry.neighbors.base import OPERATIONS, Backend

# On one core of a CPU all pairs cost about as much as a k-d tree here.
_PAIRS_OF_TREE = 64 * 64
# Queries from which threads are worth their start.
_QUERIES_OF_THREADS = 16_384
# Distances held at once: 64 MiB of float32.
_PAIRS_AT_ONCE = 2**24


class Plain(Backend):
    """Always present; any device."""

    package = "torch"
    install = "pip install torch"
    operations = frozenset(OPERATIONS)

    def load(self) -> None:
        """Nothing to load."""

    def covers(self, dtype: torch.dtype, device: torch.device) -> bool:
        """Always."""
        return True

    def nearest(
        self, points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"], k: int
    ) -> Int[Tensor, "b m k"]:
        """By all pairs, or by a tree."""
        return self.within(points, queries, k, float("inf"))

    def within(
        self,
        points: Float[Tensor, "b n 3"],
        queries: Float[Tensor, "b m 3"],
        k: int,
        radius: float,
    ) -> Int[Tensor, "b m k"]:
        """By all pairs, which do not use the radius, or by a tree, which does."""
        if points.device.type == "cpu" and points.shape[1] * queries.shape[1] > _PAIRS_OF_TREE:
            pairs = zip(points, queries, strict=True)
            return torch.stack([_by_tree(p, q, k, radius) for p, q in pairs])
        rows = max(1, _PAIRS_AT_ONCE // (points.shape[0] * points.shape[1]))
        parts = [
            all_pairs(points, part).topk(k, largest=False, sorted=False).indices
            for part in queries.split(rows, 1)
        ]
        return torch.cat(parts, 1)

    def farthest(self, points: Float[Tensor, "b n 3"], num: int) -> Int[Tensor, "b num"]:
        """The greedy algorithm, a distance to every point a step; never repeats."""
        axes = points.movedim(-1, 0).contiguous()
        chosen = torch.zeros(len(points), num, dtype=torch.long, device=points.device)
        nearest = torch.full_like(axes[0], torch.inf)
        for i in range(1, num):
            last = chosen[:, i - 1 : i]
            x, y, z = (axis - axis.gather(1, last) for axis in axes)
            nearest = torch.minimum(nearest, x * x + y * y + z * z).scatter(1, last, -1)
            # argmax gives the first of equals.
            chosen[:, i] = nearest.argmax(1)
        return chosen


def all_pairs(
    points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"]
) -> Float[Tensor, "b m n"]:
    """Squared distances, rounded as those of single pairs are (xx + yy - 2xy would not be)."""
    (px, py, pz), (qx, qy, qz) = points[:, None].unbind(-1), queries[:, :, None].unbind(-1)
    squared = (qx - px).square_()
    squared += (qy - py).square_()
    squared += (qz - pz).square_()
    return squared


def _by_tree(
    points: Float[Tensor, "n 3"], queries: Float[Tensor, "m 3"], k: int, radius: float
) -> Int[Tensor, "m k"]:
    # Median splits cost more to build than they save.
    tree = cKDTree(points.numpy(), balanced_tree=False)
    threads = torch.get_num_threads() if len(queries) >= _QUERIES_OF_THREADS else 1
    _, found = tree.query(queries.numpy(), k, distance_upper_bound=radius, workers=threads)
    indices = torch.from_numpy(found).long().view(-1, k)
    return indices.masked_fill(indices == len(points), -1)
