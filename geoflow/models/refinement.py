"""Latents made to fit what was given, by a few steps of gradient descent through the decoder.

    L(z) = mean_o mean_p |f(p + o n; z) - o| + a mean_g |f(g; z) - f(g; z_0)|

p are the given points, n their normals and o small offsets (0 alone without normals); g is a fixed
lattice in the shape's frame, at whose far points the field keeps the values of the encoder's
answer z_0. Nothing is drawn at random and points enter by means, so that the result turns with the
shape and does not depend on the points' order.

Reference: latent optimisation of Park et al., "DeepSDF", 2019, arXiv:1901.05103, here from an
encoder's answer.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

# Offsets along the normals. Inward they stay within the thinnest parts that shapes are given.
_OFFSETS = (-0.008, 0.0, 0.015, 0.04)
# The lattice has so many points along an edge of the box, and counts where it is this far out.
_LATTICE, _FAR = 12, 0.1
_BAND = 0.1
_KEEP = 0.5
_RATE = 0.03
_MOMENTS, _FLAT = (0.8, 0.95), 1e-8


@runtime_checkable
class FieldCodec(Protocol):
    """An autoencoder of fields, as far as refinement needs it."""

    def decode(
        self,
        tokens: Float[Tensor, "b k c"],
        queries: Float[Tensor, "b q 3"],
        frame: Float[Tensor, "b m 3"] | None = None,
    ) -> Float[Tensor, "b q"]:
        """Signed distance at the queries."""


def refine_tokens(
    codec: FieldCodec,
    tokens: Float[Tensor, "b k c"],
    points: Float[Tensor, "b n 3"],
    normals: Float[Tensor, "b n 3"] | None,
    frame: Float[Tensor, "b m 3"] | None,
    *,
    steps: int,
) -> Float[Tensor, "b k c"]:
    """Latents whose fields fit the points better, never worse, than those given.

    Args:
        codec: the autoencoder; its weights stay as they are.
        tokens: where to start.
        points: of the surfaces.
        normals: outward; None: the points alone are fitted.
        frame: where the shapes stand; without a full frame the lattice is left out.
        steps: evaluations of gradient; 0 gives the tokens back.

    Raises:
        ValueError: for a negative number of steps.
    """
    if steps < 0:
        raise ValueError(f"refine must be at least 0, got {steps}")
    if steps == 0:
        return tokens
    fit = _Fit(codec, tokens.detach(), points, normals, frame)
    state = tokens.detach().clone()
    best, lowest = state, state.new_full((len(state),), torch.inf)
    descent = _Descent()
    for step in range(steps + 1):
        with torch.enable_grad():
            losses = fit.loss(state.requires_grad_(True))
            total = losses.sum()
        better = losses.detach() < lowest
        best = torch.where(better[:, None, None], state.detach(), best)
        lowest = torch.minimum(losses.detach(), lowest)
        if step < steps:
            (gradient,) = torch.autograd.grad(total, state)
            state = state.detach() - _RATE * (1 - step / steps) * descent(gradient)
    return best


class _Descent:
    """Adam's directions with one scale a token, so that they turn with the token's vectors."""

    def __init__(self) -> None:
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0
        self.taken = 0

    def __call__(self, gradient: Float[Tensor, "b k c"]) -> Float[Tensor, "b k c"]:
        a, b = _MOMENTS
        self.taken += 1
        self.first = a * self.first + (1 - a) * gradient
        self.second = b * self.second + (1 - b) * gradient.square().mean(-1, keepdim=True)
        scale = (self.second / (1 - b**self.taken)).sqrt() + _FLAT
        return self.first / (1 - a**self.taken) / scale


class _Fit:
    """The loss of each shape as a function of its latent."""

    def __init__(
        self,
        codec: FieldCodec,
        tokens: Float[Tensor, "b k c"],
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        frame: Float[Tensor, "b m 3"] | None,
    ) -> None:
        self.codec, self.frame, self.num = codec, frame, points.shape[1]
        offsets = (0.0,) if normals is None else _OFFSETS
        moved = [points if normals is None else points + o * normals for o in offsets]
        wanted = [points.new_full(points.shape[:2], o) for o in offsets]
        self.queries, self.wanted = torch.cat(moved, 1), torch.cat(wanted, 1)
        self.near = self.queries.shape[1]
        self.far: Tensor | None = None
        if frame is not None and frame.shape[1] == 3:
            axis = torch.linspace(-1, 1, _LATTICE, dtype=points.dtype, device=points.device)
            lattice = torch.cartesian_prod(axis, axis, axis) @ frame
            with torch.no_grad():
                before = codec.decode(tokens, lattice, frame)
            self.queries = torch.cat([self.queries, lattice], 1)
            self.wanted = torch.cat([self.wanted, before], 1)
            self.far = (before.abs() > _FAR).to(points.dtype)

    def loss(self, tokens: Float[Tensor, "b k c"]) -> Float[Tensor, " b"]:
        """Mean errors of each shape."""
        field = self.codec.decode(tokens, self.queries, self.frame).clamp(-_BAND, _BAND)
        error = (field - self.wanted.clamp(-_BAND, _BAND)).abs()
        total = error[:, : self.near].mean(1)
        if self.far is not None:
            total = total + _KEEP * (error[:, self.near :] * self.far).mean(1)
        return total
