"""What a point set looks like from its farthest points, at several scales, without weights.

At each of m farthest points c (Eldar et al., 1997; here from the point farthest from the
origin), Gaussian windows of several widths give, of the points p in the window: the mean offset
mu, the mean square, the density, and the covariance C, which enters by its products with c and
mu. Everything is a scalar or a vector under O(3), and no order of the points matters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Widths of the windows, for points of unit variance; each is half of the one before.
_SCALES = (0.8, 0.4, 0.2, 0.1)
NUM_VECTORS = 1 + 3 * len(_SCALES)
NUM_SCALARS = 2 + 6 * len(_SCALES)


@dataclass(frozen=True)
class Moments:
    """Scalars and vectors at places of the surface."""

    scalars: Float[Tensor, "b m d"]
    vectors: Float[Tensor, "b m c 3"]
    places: Float[Tensor, "b m 3"]


@torch.no_grad()
def farthest_points(points: Float[Tensor, "b n 3"], num: int) -> Int[Tensor, "b m"]:
    """Indices of points, each farthest from those before; the first, from the origin.

    Rotations and new orders of the points choose the same points, but where distances tie.

    Raises:
        ValueError: for fewer points than are asked for.
    """
    if points.shape[1] < num:
        raise ValueError(f"at least {num} surface points are needed, got {points.shape[1]}")
    rows = torch.arange(len(points), device=points.device)
    newest = points.square().sum(-1).argmax(1)
    chosen = [newest]
    nearest = torch.full_like(points[..., 0], torch.inf)
    for _ in range(num - 1):
        offset = points - points[rows, newest][:, None]
        nearest = torch.minimum(nearest, offset.square().sum(-1))
        newest = nearest.argmax(1)
        chosen.append(newest)
    return torch.stack(chosen, dim=1)


@torch.no_grad()
def surface_moments(points: Float[Tensor, "b n 3"], num: int) -> Moments:
    """Moments at `num` farthest points.

    Raises:
        ValueError: for fewer points than that.
    """
    kind = points.dtype
    with torch.autocast(points.device.type, enabled=False):
        # A narrow window's covariance is a small difference of large moments: in single precision
        # it keeps three digits, and turned points would not give the turned moments.
        points = points.double()
        index = farthest_points(points, num)
        places = points.gather(1, index[..., None].expand(-1, -1, 3))
        square = torch.cdist(places, points, compute_mode="donot_use_mm_for_euclid_dist").square()
        radius = places.norm(dim=-1, keepdim=True)
        scalars, vectors = [radius, radius.square()], [places]
        products = (points[..., :, None] * points[..., None, :]).flatten(-2)
        window = torch.exp(-0.5 * square / _SCALES[0] ** 2)
        for i, width in enumerate(_SCALES):
            # The fourth power of a Gaussian is that of half the width, for less than another exp.
            window = window.square().square() if i else window
            total = window.sum(-1, keepdim=True)
            weights = window / total
            mean = weights @ points
            spread = (weights @ products).unflatten(-1, (3, 3))
            spread = spread - mean[..., :, None] * mean[..., None, :]
            offset = (mean - places) / width
            spread = spread / width**2
            along = torch.einsum("bmij,bmj->bmi", spread, places)
            across = torch.einsum("bmij,bmj->bmi", spread, offset)
            vectors += [offset, along, across]
            scalars += [
                (total / points.shape[1]).log(),
                spread.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True),
                offset.square().sum(-1, keepdim=True),
                (offset * places).sum(-1, keepdim=True),
                (along * places).sum(-1, keepdim=True),
                (across * offset).sum(-1, keepdim=True),
            ]
        return Moments(
            torch.cat(scalars, -1).to(kind), torch.stack(vectors, -2).to(kind), places.to(kind)
        )
