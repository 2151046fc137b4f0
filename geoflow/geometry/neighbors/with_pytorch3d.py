"""Neighbours by PyTorch3D (Ravi et al., 2020, arXiv:2007.08501)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.geometry.neighbors.base import OPERATIONS, Backend


class PyTorch3D(Backend):
    """All pairs in C++ or CUDA, float32 alone."""

    package = "pytorch3d"
    install = "see docs/neighbours.md"
    operations = frozenset(OPERATIONS)

    def load(self) -> None:
        """Import pytorch3d's operations."""
        import pytorch3d.ops  # noqa: F401

    def covers(self, dtype: torch.dtype, device: torch.device) -> bool:
        """float32 on the CPU, and on CUDA where it was built for it."""
        from pytorch3d import _C

        # The binding is there in CUDA builds alone.
        has_cuda = device.type == "cuda" and hasattr(_C, "knn_check_version")
        return dtype == torch.float32 and (device.type == "cpu" or has_cuda)

    def nearest(
        self, points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"], k: int
    ) -> Int[Tensor, "b m k"]:
        """By `knn_points`."""
        from pytorch3d.ops import knn_points

        return knn_points(queries, points, K=k, return_sorted=False).idx

    def within(
        self,
        points: Float[Tensor, "b n 3"],
        queries: Float[Tensor, "b m 3"],
        k: int,
        radius: float,
    ) -> Int[Tensor, "b m k"]:
        """By `ball_query`, unless it finds k: it then gives the first k by index."""
        from pytorch3d.ops import ball_query

        indices = ball_query(queries, points, K=k, radius=radius, return_nn=False).idx
        return self.nearest(points, queries, k) if bool((indices[..., -1] >= 0).any()) else indices

    def farthest(self, points: Float[Tensor, "b n 3"], num: int) -> Int[Tensor, "b num"]:
        """By `sample_farthest_points`."""
        from pytorch3d.ops import sample_farthest_points

        _, indices = sample_farthest_points(points, K=num)
        return indices
