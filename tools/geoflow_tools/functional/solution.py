"""A trained functional map's field: noise carried to a shape, answered at any place.

The context's values go first, by themselves; what the network made of them at every step is kept,
so that a query costs the answers alone. It is the sampler's result for any set of queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.backbones.layers import frame_coordinates
from geoflow.flow_map import FlowMap
from geoflow_tools.functional.network import FunctionalNetwork, Memory
from geoflow_tools.functional.random_function import RandomFunction

CHUNK = 8192
"""Queries that are answered at once."""


@dataclass(frozen=True)
class Solution:
    """The field that one random function is carried to."""

    flow_map: FlowMap
    noise: RandomFunction
    frame: Float[Tensor, "1 3 3"]
    memories: tuple[Memory, ...]
    """Of each step."""
    times: tuple[float, ...]
    """From 0 to 1, one more than the steps."""

    @torch.no_grad()
    def __call__(self, queries: Float[Tensor, "q 3"]) -> Float[Tensor, " q"]:
        """Values at places of one shape."""
        chunks = queries.split(CHUNK)
        return torch.cat([self._carry(chunk[None])[0] for chunk in chunks])

    def _carry(self, places: Float[Tensor, "1 q 3"]) -> Float[Tensor, "1 q"]:
        network = _network(self.flow_map)
        seen = frame_coordinates(places, self.frame)
        x = self.flow_map.interpolant.alpha(places.new_zeros(1)) * self.noise(places)
        for memory, (start, end) in zip(self.memories, pairwise(self.times), strict=True):
            t, r = places.new_full((1,), start), places.new_full((1,), end)
            x = self.flow_map.apply_field(network.answer(memory, x, seen), x, t, r)
        return x


@torch.no_grad()
def solve(
    flow_map: FlowMap,
    points: Float[Tensor, "1 m 3"],
    context: Float[Tensor, "1 c 3"],
    noise: RandomFunction,
    *,
    steps: int,
    ode: bool = False,
    frame: Float[Tensor, "1 3 3"] | None = None,
) -> Solution:
    """Carry a random function to the field of the shape that points of its surface tell.

    Args:
        flow_map: of a FunctionalNetwork.
        points: of the surface.
        context: places whose values the network sees, as many as it was trained on.
        noise: the function.
        steps: network evaluations, at equal intervals of time.
        ode: hold the instantaneous field over a step, as Euler's method does.
        frame: that the shape stands in; default: upright.

    Raises:
        ValueError: for fewer than one step, or a context of another size.
    """
    network = _network(flow_map)
    size = network.config.context
    if steps < 1 or context.shape[1] != size:
        raise ValueError(
            f"give at least 1 step and {size} places of context, got {steps} and {context.shape[1]}"
        )
    frame = torch.eye(3, dtype=points.dtype, device=points.device)[None] if frame is None else frame
    places, corners = frame_coordinates(context, frame), frame_coordinates(points, frame)
    times = tuple(torch.linspace(0, 1, steps + 1, dtype=torch.float64).tolist())
    x = flow_map.interpolant.alpha(points.new_zeros(1)) * noise(context)
    memories = []
    for start, end in pairwise(times):
        t, r = points.new_full((1,), start), points.new_full((1,), end)
        memory = network.remember(x, places, corners, t, t if ode else r)
        x = flow_map.apply_field(network.answer(memory, x, places), x, t, r)
        memories.append(memory)
    return Solution(flow_map, noise, frame, tuple(memories), times)


def _network(flow_map: FlowMap) -> FunctionalNetwork:
    network = flow_map.backbone
    if not isinstance(network, FunctionalNetwork):
        raise ValueError(f"expected a map of a FunctionalNetwork, got {type(network).__name__}")
    return network
