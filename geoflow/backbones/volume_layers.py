"""Between points and volumes of cells: what a volume autoencoder is made of; symmetry: none.

All of it works on coordinates in a frame, which are numbers that do not change when points and
frame turn together. A volume has `cells` cells along each edge of the box [-BOUND, BOUND]^3; its
axes are (batch, channel, third, second, first coordinate).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

BOUND = 1.1
"""Half extent of a volume; points beyond it count at its border."""
# Weight of points about a cell's centre at which their mean counts by half.
_FAINT = 0.05
# Points of a shape by which densities are counted.
_USUAL_POINTS = 2048
_GROUP = 16


def in_frame(v: Float[Tensor, "b n 3"], frame: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b n 3"]:
    """Inner products with the frame's vectors, as sums, which autocast does not round."""
    return (v[..., None, :] * frame[:, None]).sum(-1)


def spread(
    places: Float[Tensor, "b n 3"], features: Float[Tensor, "b n d"], cells: int
) -> Float[Tensor, "b e g g g"]:
    """Features of points as a volume: trilinear means about each cell's centre, and two masses.

    Weights are continuous in the places, so that rounding moves no point by a cell; the order of
    the points does not matter. The masses are in [0, 1) and in logarithms of the number of points.
    """
    num = places.shape[1]
    index, weight = _corners(places, cells)
    total = weight.new_zeros(len(places) * cells**3)
    total = total.index_add(0, index, weight)[:, None]
    scaled = weight[:, None] / (total[index] + _FAINT)
    rows = features.flatten(0, 1).repeat(8, 1) * scaled
    mean = rows.new_zeros(len(total), features.shape[-1]).index_add(0, index, rows)
    mass = torch.cat([total / (total + _FAINT), torch.log1p(total * (_USUAL_POINTS / num))], dim=-1)
    volume = torch.cat([mean, mass], dim=-1).unflatten(0, (len(places), cells, cells, cells))
    # The channels stay last in memory, as convolutions on CPUs like them.
    return volume.permute(0, 4, 1, 2, 3)


def _corners(
    places: Float[Tensor, "b n 3"], cells: int
) -> tuple[Int[Tensor, " m"], Float[Tensor, " m"]]:
    """Cells of the batch's volumes whose centres surround each point, and their weights."""
    x = ((places / BOUND + 1) * (0.5 * cells) - 0.5).clamp(0, cells - 1)
    low = x.floor().clamp(max=cells - 2)
    part, first = x - low, low.long()
    # Nothing comes from the host, so that a GPU's graph can hold it.
    row = torch.arange(len(places), device=places.device)[:, None] * cells**3
    base = row + first[..., 0] + cells * first[..., 1] + cells**2 * first[..., 2]
    shares = (1 - part, part)
    indices, weights = [], []
    for corner in range(8):
        bits = [corner >> axis & 1 for axis in range(3)]
        indices.append((base + sum(bit * cells**axis for axis, bit in enumerate(bits))).flatten())
        one, two, three = (shares[bit][..., axis] for axis, bit in enumerate(bits))
        weights.append((one * two * three).flatten())
    return torch.cat(indices), torch.cat(weights)


def read_volume(
    volume: Float[Tensor, "b d g g g"], places: Float[Tensor, "b q 3"]
) -> Float[Tensor, "b q d"]:
    """Features at places, trilinear between the cells' centres."""
    grid = (places / BOUND)[:, :, None, None]
    read = nn.functional.grid_sample(volume, grid, align_corners=False, padding_mode="border")
    return read[..., 0, 0].transpose(1, 2)


class VolumeBlock(nn.Module):
    """Pre-norm residual block of two convolutions of 3 x 3 x 3 cells."""

    def __init__(self, width: int) -> None:
        super().__init__()
        groups = max(width // _GROUP, 1)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) for _ in range(2))
        self.first = nn.Conv3d(width, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        nn.init.normal_(self.second.weight, std=0.3 / (27 * width) ** 0.5)

    def forward(self, x: Float[Tensor, "b d g g g"]) -> Float[Tensor, "b d g g g"]:
        """The residual update."""
        h = self.first(nn.functional.silu(self.norms[0](x)))
        return x + self.second(nn.functional.silu(self.norms[1](h)))


class CellBlock(nn.Module):
    """Pre-norm transformer block on all cells of a coarse volume."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b k d"]:
        """Both residual updates."""
        parts = self.qkv(self.norms[0](x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        x = x + self.mixed((weights.to(v.dtype) @ v).transpose(1, 2).flatten(-2))
        return x + self.down(nn.functional.silu(self.up(self.norms[1](x))))
