"""A modulated network for the points of one shape, with all that is the shape's folded in once.

A layer of `modulated.py`, g * (W h + b) + o + P q, is W' (h, q, 1) with W' = (g * W, P, g * b + o):
one product. The biases of the residual branches are the same for every point: their sum is
carried as a constant through the following layers. What is left for a point are bare products and
the activations between them, in place. The result is the network's, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.layers import safe_norm

if TYPE_CHECKING:
    from geoflow.backbones.modulated import Context, Modulated

# Points of one call: their activations stay in a core's cache.
BLOCK = 1024
# Calls have a multiple of so many points. A processor's library prepares every product anew for
# each number of rows that it meets, and keeps what it prepared: megabytes a shape.
_ROWS = 128


def in_blocks(
    function: Callable[[Float[Tensor, "m 3"]], Tensor], points: Float[Tensor, "n 3"]
) -> Tensor:
    """A function of single points, called for few of them at a time, of few different numbers.

    Args:
        function: of up to BLOCK points, a multiple of 128; one row of its answer is one point's.
        points: any number of them.
    """
    parts = []
    for part in points.split(BLOCK):
        num = len(part)
        whole = nn.functional.pad(part, (0, 0, 0, -num % _ROWS))
        parts.append(function(whole)[:num])
    return torch.cat(parts)


class Folded:
    """Features of points, without gradients.

    Args:
        network: whose hidden layers are folded.
        context: of one shape.

    Attributes:
        constant: what the features lack: `network.hidden` is their sum with it.

    Raises:
        ValueError: for a context of several shapes.
    """

    @torch.no_grad()
    def __init__(self, network: Modulated, context: Context) -> None:
        if context.gain.shape[1] != 1:
            raise ValueError(f"a context of one shape is folded, got {context.gain.shape[1]}")
        gain, offset, planes = context.gain[:, 0, 0], context.offset[:, 0, 0], context.planes[:, 0]
        frame = planes.new_zeros(0, 3) if context.frame is None else context.frame[0].to(planes)
        size = len(frame)
        octaves = math.pi * 2.0 ** torch.arange(network.config.frequencies).to(planes)
        self._phase = (octaves[:, None, None] * frame).flatten(0, 1).T
        read = network.read.weight * gain[0][:, None]
        # Coordinates in the frame are linear in the point, as the half spaces are.
        linear = read[:, :size] @ frame + planes[0]
        self._read = torch.cat([linear, read[:, size:]], dim=1).T.contiguous()
        self._bias = gain[0] * network.read.bias + offset[0]
        self.constant = torch.zeros_like(self._bias)
        self._layers: list[tuple[Tensor, Tensor]] = []
        for i, (first, second) in enumerate(
            zip(network.first, network.second, strict=True), start=1
        ):
            assert isinstance(first, nn.Linear)
            assert isinstance(second, nn.Linear)
            bias = gain[i] * (first.bias + first.weight @ self.constant) + offset[i]
            whole = torch.cat([gain[i][:, None] * first.weight, planes[i], bias[:, None]], dim=1)
            self._layers.append((whole.T.contiguous(), second.weight.T.contiguous()))
            self.constant = self.constant + second.bias

    @torch.no_grad()
    def __call__(self, relative: Float[Tensor, "n 3"]) -> Float[Tensor, "n d"]:
        """Features of points about the shape's centre, less `constant`."""
        phase = relative @ self._phase
        features = torch.cat(
            [relative, phase.sin(), phase.cos(), safe_norm(relative)[:, None]], dim=1
        )
        width = len(self._bias)
        # The columns of a layer's input: features, then the point and a one.
        state = relative.new_ones(len(relative), width + 4)
        state[:, width:-1] = relative
        h = state[:, :width]
        torch.addmm(self._bias, features, self._read, out=h)
        nn.functional.silu(h, inplace=True)
        for first, second in self._layers:
            inner = state @ first
            h.addmm_(nn.functional.silu(inner, inplace=True), second)
        return h
