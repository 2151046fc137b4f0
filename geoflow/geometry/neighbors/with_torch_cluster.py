"""Neighbours by torch-cluster (https://github.com/rusty1s/pytorch_cluster)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.geometry.neighbors.base import Backend
from geoflow.geometry.neighbors.plain import Plain

# Its CUDA kernel keeps the neighbours of a query in an array of this size.
_CUDA_NEIGHBORS = 100


class TorchCluster(Backend):
    """Trees on the CPU, all pairs on a GPU."""

    package = "torch_cluster"
    install = "pip install 'geoflow[neighbors]'"
    operations = frozenset({"knn", "radius", "fps"})

    def load(self) -> None:
        """Import torch_cluster."""
        import torch_cluster  # noqa: F401

    def covers(self, dtype: torch.dtype, device: torch.device) -> bool:
        """The CPU, and CUDA where it was built for it."""
        has_cuda = device.type == "cuda" and torch.ops.torch_cluster.cuda_version() != -1
        return device.type == "cpu" or has_cuda

    def nearest(
        self, points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"], k: int
    ) -> Int[Tensor, "b m k"]:
        """By `torch_cluster.knn` of the flattened batch."""
        import torch_cluster

        if points.is_cuda and k > _CUDA_NEIGHBORS:
            return Plain().nearest(points, queries, k)
        b, n, _ = points.shape
        _, found = torch_cluster.knn(
            points.flatten(0, 1), queries.flatten(0, 1), k, _owner(points), _owner(queries)
        )
        return found.view(b, -1, k) - n * torch.arange(b, device=points.device)[:, None, None]

    def within(
        self,
        points: Float[Tensor, "b n 3"],
        queries: Float[Tensor, "b m 3"],
        k: int,
        radius: float,
    ) -> Int[Tensor, "b m k"]:
        """By `torch_cluster.radius`, unless it finds k: it then cuts without regard to distance."""
        import torch_cluster

        b, n, _ = points.shape
        m = queries.shape[1]
        row, found = torch_cluster.radius(
            points.flatten(0, 1),
            queries.flatten(0, 1),
            radius,
            _owner(points),
            _owner(queries),
            max_num_neighbors=k,
        )
        count = torch.bincount(row, minlength=b * m)
        if int(count.max()) >= k:
            return self.nearest(points, queries, k)
        row, order = row.sort(stable=True)
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        indices = torch.full((b * m, k), -1, device=row.device)
        indices[row, place] = found[order] % n
        return indices.view(b, m, k)

    def farthest(self, points: Float[Tensor, "b n 3"], num: int) -> Int[Tensor, "b num"]:
        """By `torch_cluster.fps`."""
        import torch_cluster

        b, n, _ = points.shape
        # It takes the share, and rounds its product with n up.
        found = torch_cluster.fps(
            points.flatten(0, 1), _owner(points), ratio=(num - 0.5) / n, random_start=False
        )
        return found.view(b, num) % n


def _owner(points: Float[Tensor, "b n 3"]) -> Int[Tensor, " b_n"]:
    b, n, _ = points.shape
    return torch.arange(b, device=points.device).repeat_interleave(n)
