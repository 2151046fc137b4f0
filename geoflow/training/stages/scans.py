"""What an encoder of any points is shown of a shape: few or many of them, noisy, uneven, cut.

All functions take a step's generator and give the same for the same state of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.typing import Count, NonNegative, ShapeBatch, ShapeDataset, Share

# Points that a choice is made from, for each that is kept.
_SPARE = 2
# Steepness of uneven densities: the logarithm of their ratio over half an edge of the box.
_UNEVEN = 2.5
# Share of the points that a cut leaves at least.
_LEFT = 0.4
_OUTSIDE = 1.1
_LARGEST = 1.03


@dataclass(frozen=True)
class ScanOptions:
    """Shares of a run's steps or shapes in which points are as scans have them."""

    fewest: Count = 48
    """Fewest points; their number is the same in a step, and uniform in its logarithm."""
    most: Count = 2048
    """Most points of a usual step."""
    dense: Share = 0.05
    """Share of steps with four times the most points."""
    bare: Share = 0.45
    """Share of steps without normals."""
    unoriented: Share = 0.1
    """Share of steps with normals of random sign."""
    noisy: Share = 0.7
    """Share of shapes with noise."""
    noise: NonNegative = 0.03
    """Largest standard deviation of the noise, half the longest edge being 1."""
    outliers: Share = 0.05
    """Largest share of points that are anywhere in the box, in a fifth of the shapes."""
    uneven: Share = 0.3
    """Share of shapes that are denser on one side."""
    cut: Share = 0.1
    """Share of shapes of which one side is missing."""
    turned: Share = 0.3
    """Share of shapes that are turned about the up axis; half as many are turned anyhow."""
    shifted: NonNegative = 0.03
    """Largest shift from the centre."""
    smallest: Share = 0.85
    """Smallest size."""


@dataclass(frozen=True)
class Scan:
    """Points as an encoder is given them, and the queries with distances beside them."""

    points: Float[Tensor, "b n 3"]
    normals: Float[Tensor, "b n 3"] | None
    oriented: bool
    queries: Float[Tensor, "b q 3"]
    sdf: Float[Tensor, "b q"]

    def to(self, device: torch.device | str) -> Scan:
        """The same on a device."""
        normals = None if self.normals is None else self.normals.to(device)
        points, queries, sdf = (v.to(device) for v in (self.points, self.queries, self.sdf))
        return Scan(points, normals, self.oriented, queries, sdf)


def draw_number(options: ScanOptions, generator: torch.Generator) -> int:
    """Points of a step."""
    place, dense = torch.rand(2, generator=generator).tolist()
    if dense < options.dense:
        return 4 * options.most
    return round(options.fewest * (options.most / options.fewest) ** place)


def spare(num: int) -> int:
    """Points to draw of a shape of which `num` are shown."""
    return _SPARE * num


def scan(batch: ShapeBatch, options: ScanOptions, num: int, generator: torch.Generator) -> Scan:
    """A batch with `spare(num)` points a shape, on the CPU, as its scan with `num`."""
    normals, queries, sdf = batch.field()
    turn = _turns(len(sdf), options, generator)
    points, normals, queries = (v @ turn for v in (batch.surface, normals, queries))
    size, shift = _placing(points, options, generator)
    index = _choice(points, options, num, generator)[..., None].expand(-1, -1, 3)
    points, normals = points.gather(1, index), normals.gather(1, index)
    points, queries = (v * size[:, None, None] + shift for v in (points, queries))
    kind = torch.rand(1, generator=generator).item() - options.bare
    oriented = kind >= options.unoriented
    if not oriented:
        normals = normals * _signs((*points.shape[:2], 1), generator)
    points = _noisy(points, options, generator)
    known = None if kind < 0 else normals
    return Scan(points, known, oriented, queries, sdf * size[:, None])


def random_scan(
    data: ShapeDataset,
    num: int,
    options: ScanOptions,
    *,
    num_queries: int,
    generator: torch.Generator,
) -> Scan:
    """A scan, on the CPU, of `num` random shapes, each mirrored left to right by a coin."""
    points = draw_number(options, generator)
    shapes = data.batch(
        torch.randint(len(data), (num,), generator=generator).numpy(),
        num_surface=spare(points),
        num_queries=num_queries,
        generator=generator,
    )
    return scan(mirrored_at_random(shapes, generator), options, points, generator)


def distinct(batch: ShapeBatch) -> ShapeBatch:
    """A batch with each point once, and as many points of each shape as the least has.

    Points are drawn with replacement, so that many of them come twice.
    """
    normals, _, _ = batch.field()
    firsts = [
        np.sort(np.unique(points.numpy(), axis=0, return_index=True)[1]) for points in batch.surface
    ]
    least = min(map(len, firsts))
    index = torch.from_numpy(np.stack([first[:least] for first in firsts]))[..., None]
    index = index.expand(-1, -1, 3)
    return replace(batch, surface=batch.surface.gather(1, index), normals=normals.gather(1, index))


def mirrored_at_random(batch: ShapeBatch, generator: torch.Generator) -> ShapeBatch:
    """Each shape mirrored left to right by a coin."""
    normals, queries, sdf = batch.field()
    scale = torch.ones(len(sdf), 1, 3)
    scale[:, 0, 0] = _signs((len(sdf),), generator)
    return replace(
        batch, surface=batch.surface * scale, normals=normals * scale, queries=queries * scale
    )


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(2, shape, generator=generator) * 2.0 - 1.0


def _placing(
    points: Float[Tensor, "b m 3"], options: ScanOptions, generator: torch.Generator
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 1 3"]]:
    """Sizes that keep turned shapes in the box, and shifts."""
    b = len(points)
    wanted = options.smallest + (_LARGEST - options.smallest) * torch.rand(b, generator=generator)
    size = wanted / points.abs().amax((1, 2)).clamp(min=1.0)
    return size, options.shifted * (2 * torch.rand(b, 1, 3, generator=generator) - 1)


def _turns(num: int, options: ScanOptions, generator: torch.Generator) -> Float[Tensor, "b 3 3"]:
    """Identities, turns about the second axis, and any rotations; for rows of points."""
    angle = 2 * math.pi * torch.rand(num, generator=generator)
    q = torch.randn(num, 4, generator=generator)
    which = torch.rand(num, generator=generator)
    upright = torch.stack([(angle / 2).cos(), angle * 0, (angle / 2).sin(), angle * 0], -1)
    still = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(num, 4)
    free = which < 1.5 * options.turned
    q = torch.where(free[:, None], q, still)
    q = torch.where((which < options.turned)[:, None], upright, q)
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def _choice(
    points: Float[Tensor, "b m 3"], options: ScanOptions, num: int, generator: torch.Generator
) -> Int[Tensor, "b k"]:
    """Indices of the points that are seen: all alike, denser on one side, or one side."""
    b = len(points)
    direction = torch.nn.functional.normalize(torch.randn(b, 1, 3, generator=generator), dim=-1)
    along = (points * direction).sum(-1)
    kind, left = torch.rand(2, b, 1, generator=generator)
    # The largest keys are a draw without replacement with chances exp(weight) (Gumbel).
    noise = -(-torch.rand(along.shape, generator=generator).clamp(1e-9).log()).log()
    key = noise + torch.where(kind < options.uneven, _UNEVEN * along, 0.0)
    share = _LEFT + (0.9 - _LEFT) * left
    hidden = along.argsort(1).argsort(1) >= share * along.shape[1]
    key = torch.where((kind >= 1 - options.cut) & hidden, key - 1e3, key)
    return key.topk(num, dim=1).indices


def _noisy(
    points: Float[Tensor, "b n 3"], options: ScanOptions, generator: torch.Generator
) -> Float[Tensor, "b n 3"]:
    """Points with noise, and outliers among them."""
    b, n, _ = points.shape
    noisy, level, astray, rate = torch.rand(4, b, 1, 1, generator=generator)
    scale = torch.where(noisy < options.noisy, options.noise * level, 0.0)
    points = points + scale * torch.randn(points.shape, generator=generator)
    share = torch.where(astray < 0.2, options.outliers * rate, 0.0)
    lost = torch.rand(b, n, 1, generator=generator) < share
    anywhere = _OUTSIDE * (2 * torch.rand(points.shape, generator=generator) - 1)
    return torch.where(lost, anywhere, points)
