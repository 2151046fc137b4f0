"""Message passing on k-NN graphs: symmetry E(3) with a frame that turns along, and permutations.

m(R x_pi + tau, t, r | R frame) = R m(x, t, r | frame)_pi, exactly: points know each other by
differences alone. The graph joins every point of the state x to its nearest; it is found anew in
every call, by `geoflow.geometry.neighbors`, and held fixed under derivatives.

Reference: Schuett et al., "Equivariant message passing for the prediction of tensorial properties
and molecular spectra" (PaiNN), 2021, arXiv:2102.03150.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geoflow.backbones.condition import ConditionReader
from geoflow.backbones.layers import (
    ScalarVectorMLP,
    VectorLinear,
    expand_frame,
    frame_coordinates,
    safe_norm,
)
from geoflow.condition import Condition
from geoflow.geometry.neighbors import knn
from geoflow.typing import Times


@dataclass(frozen=True)
class PointMessagesConfig:
    """Sizes of the message-passing network."""

    frame_size: int = 3
    """Frame vectors given with each set: 3 (full frame), 1 (up), 0 (none)."""
    num_categories: int = 1
    """Classes to condition on."""
    width: int = 64
    """Scalar channels of a point."""
    vector_width: int = 16
    """Vector channels of a point."""
    neighbors: int = 16
    """Nearest points that a point hears from; all others where there are fewer."""
    blocks: int = 4
    """Rounds of messages."""
    radial: int = 16
    """Gaussian features of a distance."""
    reach: float = 3.0
    """Largest distance that the features tell apart."""
    condition_width: int = 128
    """Channels of the time and category embedding."""


@dataclass(frozen=True)
class _Graph:
    index: Int[Tensor, "b n k"]
    direction: Float[Tensor, "b n k 3"]
    features: Float[Tensor, "b n k e"]

    def gather(self, values: Float[Tensor, "b n *s"]) -> Float[Tensor, "b n k *s"]:
        """Values of each point's neighbours."""
        batch = torch.arange(len(values), device=values.device)[:, None, None]
        return values[batch, self.index]


class _Messages(nn.Module):
    def __init__(self, config: PointMessagesConfig) -> None:
        super().__init__()
        width, vectors = config.width, config.vector_width
        self.sizes = [width, vectors, vectors]
        self.norm = nn.LayerNorm(width)
        self.of_neighbor = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, sum(self.sizes))
        )
        self.of_edge = nn.Linear(config.radial + config.frame_size, sum(self.sizes))
        self.update = ScalarVectorMLP(
            width, vectors, frame_size=config.frame_size, expansion=2, modulated=True
        )
        self.modulate = nn.Linear(config.condition_width, 3 * width)

    def forward(
        self,
        s: Float[Tensor, "b n d"],
        v: Float[Tensor, "b n c 3"],
        graph: _Graph,
        frame: Tensor | None,
        condition: Float[Tensor, "b e"],
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n c 3"]]:
        neighbor = graph.gather(self.of_neighbor(self.norm(s)))
        ds, along, carried = (neighbor * self.of_edge(graph.features)).split(self.sizes, dim=-1)
        # Sums over neighbours as means, so that their number sets no scale.
        num = graph.index.shape[-1]
        pulls = torch.einsum("bnkc,bnki->bnci", along, graph.direction)
        passed = torch.einsum("bnkc,bnkci->bnci", carried, graph.gather(v))
        s, v = s + ds.mean(2), v + (pulls + passed) / num
        shift, scale, gate = self.modulate(condition)[:, None].chunk(3, dim=-1)
        return self.update.feed_forward(s, v, frame, shift=shift, scale=scale, gate=1 + gate)


class PointMessages(nn.Module):
    """Raw field m_{t->r}(x) of point sets."""

    def __init__(self, config: PointMessagesConfig) -> None:
        super().__init__()
        self.config = config
        self.start = nn.Parameter(torch.randn(config.width))
        self.condition = ConditionReader(
            config.condition_width,
            num_categories=config.num_categories,
            frame_size=config.frame_size,
        )
        self.layers = nn.ModuleList(_Messages(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.to_gates = nn.Linear(config.width, config.vector_width + config.frame_size)
        self.to_vector = VectorLinear(config.vector_width, 1)
        centres = torch.linspace(0.0, config.reach**0.5, config.radial)
        self.register_buffer("centres", centres, persistent=False)
        self.centres: Tensor

    def forward(
        self, x: Float[Tensor, "b n 3"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b n 3"]:
        """Points to vectors.

        Raises:
            ValueError: for fewer than two points, or a frame that is not of this network's size.
        """
        if x.shape[1] < 2:
            raise ValueError(f"messages need at least 2 points, got {x.shape[1]}")
        config = self.config
        frame = self.condition.frame(cond)
        graph = self._graph(x, frame)
        s = self.start.expand(*x.shape[:2], -1)
        v = x.new_zeros(*x.shape[:2], config.vector_width, 3)
        condition = self.condition(t, r, cond)
        for layer in self.layers:
            s, v = layer(s, v, graph, frame, condition)
        gates = self.to_gates(self.norm(s))
        of_vectors, of_frame = gates.split([config.vector_width, config.frame_size], dim=-1)
        out = self.to_vector(v * of_vectors[..., None])[..., 0, :]
        if frame is not None:
            out = out + expand_frame(of_frame, frame, 1)[..., 0, :]  # type: ignore[index]
        return out

    def _graph(self, x: Float[Tensor, "b n 3"], frame: Tensor | None) -> _Graph:
        # The nearest point of a point is itself, or its equal.
        k = min(self.config.neighbors + 1, x.shape[1])
        index = knn(x, x, k).indices[..., 1:]
        batch = torch.arange(len(x), device=x.device)[:, None, None]
        offset = x[batch, index] - x[:, :, None]
        distance = safe_norm(offset)[..., None]
        direction = offset / distance
        # Gaussians of the root, finer where points are close.
        spacing = self.centres[1]
        roots = (distance.sqrt() - self.centres.to(x)) / spacing
        radial = torch.exp(-0.5 * roots.square())
        along = frame_coordinates(direction, frame)
        return _Graph(index, direction, torch.cat([radial, along], dim=-1))
