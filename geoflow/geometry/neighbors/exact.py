"""One answer from any backend's candidates, and tensors that a search may read.

Libraries round distances in their own ways and break ties as they like. Candidates are therefore
sorted by one formula, dx dx + dy dy + dz dz in the tensors' own precision, equal ones by index; a
query whose first k are not told from the rest beyond rounding is asked again for more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.geometry.neighbors.plain import Plain, all_pairs

Search = Callable[[Tensor, Tensor, int], Tensor]
"""From points (b n 3), queries (b m 3) and k to candidates (b m k); -1 stands for none."""

_CANDIDATES_AT_ONCE = 2**22


def rounding(dtype: torch.dtype) -> float:
    """Relative error of squared distances, and of a tree's bounds on them, with a margin."""
    return 64 * torch.finfo(dtype).eps


def squared_distances(
    points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"], indices: Int[Tensor, "b m k"]
) -> Float[Tensor, "b m k"]:
    """Squared distances of queries to chosen points; those of an index -1 mean nothing."""
    batch = torch.arange(len(points), device=points.device)[:, None, None]
    x, y, z = (queries[:, :, None] - points[batch, indices.clamp_min(0)]).unbind(-1)
    return x * x + y * y + z * z


def root(squared: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Square root whose derivative at 0 is 0, in both modes."""
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1).sqrt(), 0)


def settle(
    search: Search, points: Float[Tensor, "b n 3"], queries: Float[Tensor, "b m 3"], k: int
) -> Int[Tensor, "b m k"]:
    """Indices of the k nearest points, nearest first, equal distances by lowest index."""
    return _settle(search, points, queries, k, wanted=k + 1)


def _settle(search: Search, points: Tensor, queries: Tensor, k: int, *, wanted: int) -> Tensor:
    n = points.shape[1]
    candidates = search(points, queries, min(wanted, n)).sort(-1).values
    squared = squared_distances(points, queries, candidates)
    squared, order = squared.masked_fill(candidates < 0, torch.inf).sort(dim=-1, stable=True)
    indices = candidates.gather(-1, order)
    if wanted < n:
        last, beyond = squared[..., k - 1], squared[..., -1]
        unsure = (beyond <= last * (1 + rounding(points.dtype))) & last.isfinite()
        for i in unsure.any(1).nonzero()[:, 0].tolist():
            asked = queries[i : i + 1, unsure[i]]
            indices[i, unsure[i], :k] = _widen(points[i : i + 1], asked, k, 4 * wanted)[0]
    return indices[..., :k]


def _widen(points: Tensor, queries: Tensor, k: int, wanted: int) -> Tensor:
    n, m = points.shape[1], queries.shape[1]
    if wanted < n and m * wanted <= _CANDIDATES_AT_ONCE:
        return _settle(Plain().nearest, points, queries, k, wanted=wanted)
    parts = queries.split(max(1, _CANDIDATES_AT_ONCE // n), 1)
    return torch.cat(
        [all_pairs(points, q).sort(dim=-1, stable=True).indices[..., :k] for q in parts], 1
    )


class Indices(torch.autograd.Function):
    """Apply a search to plain tensors, inside any transform of torch.func too.

    The first argument maps batched tensors to indices; no derivative passes.
    """

    @staticmethod
    def forward(solve: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """Indices.

        Raises:
            ValueError: for points that are not finite.
        """
        for tensor in tensors:
            if not bool(tensor.isfinite().all()):
                raise ValueError("points must be finite, got NaN or infinity")
        return solve(*(tensor.detach() for tensor in tensors))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Indices have no derivative."""
        ctx.mark_non_differentiable(output)
        ctx.num = len(inputs)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[None, ...]:
        """None for every argument."""
        return (None,) * ctx.num

    @staticmethod
    def jvp(ctx: Any, *_: Tensor | None) -> None:
        """None."""
        return None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], solve: Callable[..., Tensor], *tensors: Tensor
    ) -> tuple[Tensor, int]:
        """The mapped axis joins the batch."""
        mapped = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(tensors, in_dims[1:], strict=True)
        ]
        found = Indices.apply(solve, *(tensor.flatten(0, 1) for tensor in mapped))
        return found.unflatten(0, mapped[0].shape[:2]), 0
