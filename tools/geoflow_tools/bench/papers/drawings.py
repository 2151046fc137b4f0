"""Drawings of procedural chairs to learn from: pictures, and sets of points of their edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.progress import track
from skimage.metrics import structural_similarity
from torch import Tensor

from geoflow_datasets.procedural import make_solids
from geoflow_tools.bench.papers.edges import draw
from geoflow_viewer.projection import view_rotation

# Degrees: three-quarter views from a little above.
_AZIMUTH, _SPREAD, _ELEVATION = 35.0, 15.0, 20.0
# Pixels of the raster that drawings are compared in, and the width of a point in it.
RASTER, _WIDTH = 64, 1.5


@dataclass(frozen=True)
class Drawings:
    """Pictures of shapes, and all points of their edges, filled up to one number."""

    pictures: Float[Tensor, "n s s"]
    edges: Float[Tensor, "n m 2"]
    counts: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.pictures)

    def all_edges(self, index: int) -> Float[np.ndarray, "k 2"]:
        """The points of the edges of one."""
        return self.edges[index, : int(self.counts[index])].double().numpy()

    def sketches(self, num: int, *, generator: torch.Generator) -> Float[Tensor, "n num 2"]:
        """Evenly spread points of the edges of each."""
        return spread(self.edges, self.counts, num, generator=generator)


def mirrored(
    pictures: Float[Tensor, "b s s"],
    sketches: Float[Tensor, "b k 2"],
    *,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "b s s"], Float[Tensor, "b k 2"]]:
    """Pictures and sketches, about half of the pairs turned left to right."""
    is_turned = torch.rand(len(pictures), generator=generator) < 0.5
    signs = torch.ones(len(pictures), 1, 2)
    signs[is_turned, :, 0] = -1.0
    return torch.where(is_turned[:, None, None], pictures.flip(-1), pictures), sketches * signs


def make_drawings(
    split: str, num: int, *, category: str = "chair", show_progress: bool = False
) -> Drawings:
    """The first shapes of a split, each seen from its own side.

    Raises:
        ValueError: for an unknown category or split.
    """
    made = []
    for index in track(range(num), description="drawings", disable=not show_progress):
        turn = np.random.default_rng([index, 35]).uniform(-_SPREAD, _SPREAD)
        view = view_rotation(_AZIMUTH + turn, _ELEVATION)
        made.append(draw(make_solids(category, index, split=split), view))
    counts = torch.tensor([len(drawing.edges) for drawing in made])
    edges = torch.zeros(num, int(counts.max()), 2)
    for row, drawing in zip(edges, made, strict=True):
        row[: len(drawing.edges)] = torch.from_numpy(drawing.edges)
    pictures = torch.from_numpy(np.stack([drawing.picture for drawing in made])).float()
    return Drawings(pictures, edges, counts)


def spread(
    points: Float[Tensor, "b m 2"],
    counts: Int[Tensor, " b"],
    num: int,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "b num 2"]:
    """Farthest points of sets that are filled up, from a random first one."""
    rows = torch.arange(len(points))
    filling = torch.arange(points.shape[1]) >= counts[:, None]
    chosen = (torch.rand(len(points), generator=generator) * counts).long()
    distance = torch.full(points.shape[:2], torch.inf).masked_fill(filling, -1.0)
    found = []
    for _ in range(num):
        found.append(points[rows, chosen])
        distance = torch.minimum(distance, (points - found[-1][:, None]).square().sum(-1))
        distance = distance.masked_fill(filling, -1.0)
        chosen = distance.argmax(1)
    return torch.stack(found, dim=1)


def raster(points: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "s s"]:
    """Points as round dots of ink, 1 at their middles; rows from above."""
    centres = (np.arange(RASTER) + 0.5) / RASTER * 2 - 1
    width = 2 / RASTER * _WIDTH
    across, up = (
        np.exp(-0.5 * ((points[:, axis, None] - grid) / width) ** 2)
        for axis, grid in ((0, centres), (1, -centres))
    )
    ink: np.ndarray = np.einsum("kr,kc->krc", up, across).max(0)
    return ink


def similarity(a: Float[np.ndarray, "k 2"], b: Float[np.ndarray, "m 2"]) -> float:
    """SSIM of the rasters of two sets of points, with Gaussian windows of 1.5 pixels.

    Reference: Wang et al., "Image Quality Assessment", 2004, with its constants.
    """
    return float(
        structural_similarity(
            raster(a),
            raster(b),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
