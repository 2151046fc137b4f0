"""Pooled targets: what a state of the path is made of, averaged over data that it may come from.

A pair (x0, x1) is one of many that lead through x_t; its conditional field is the marginal one plus
noise. Given a pool y_1, ..., y_p of data that holds x1, the posterior means

    x1_hat = sum_j w_j y_j,    w = softmax_j(-|x_t - beta_t y_j|^2 / 2 alpha_t^2),
    x0_hat = (x_t - beta_t x1_hat) / alpha_t

lead through the same x_t, and the field is linear in the ends: x_t stays, the target loses noise.
With a pool that is the whole data the target is the marginal field of the empirical distribution
itself. With fewer the mean target is off by O(1 / p): the pool always holds the example, which
counts for more than it should. With `guidance` the target is the field of classifier-free guidance,
exact for the empirical distribution, and the map that learns it needs one evaluation a step where
guided sampling needs two. Only noise that is independent of the data has this posterior.

Of two points that lie within 1e-8 of their size the weights are not told apart, however small alpha
is; at alpha = 0 the pair is its own posterior.

Reference: Xu et al., "Stable Target Field for Reduced
Variance Score Estimation", 2023, arXiv:2302.00670; Ho & Salimans, "Classifier-Free Diffusion
Guidance", 2022, arXiv:2207.12598.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geoflow.condition import Condition
from geoflow.interpolant import Interpolant
from geoflow.typing import Times

# Weights of one block, numbers of float64: on a processor few enough for a core's cache, where each
# is read several times (32 MB take three to four times as long); elsewhere 32 MB.
_CACHED, _BLOCK = 100_000, 4_000_000


@dataclass(frozen=True)
class Pool:
    """Data that targets are averaged over."""

    data: Float[Tensor, "p *s"]
    """Of the shape of a batch's examples, x1 of every example among them."""
    category: Int[Tensor, " p"] | None = None
    """Category of each, where examples are given theirs; it is averaged over that alone."""
    guidance: float = 1.0
    """Weight g of the category: the target is g times its mean and 1 - g times that of all data."""

    def ends(
        self,
        x0: Float[Tensor, "b *s"],
        x1: Float[Tensor, "b *s"],
        t: Times,
        interpolant: Interpolant,
        cond: Condition | None = None,
    ) -> tuple[Float[Tensor, "b *s"], Float[Tensor, "b *s"]]:
        """Posterior means of noise and data given the state of each pair at t.

        Raises:
            ValueError: for examples of another shape than the pool's, of a category that the pool
                does not have, or given something else than their category and a frame that all
                share, whose pool would be another.
        """
        if x1.shape[1:] != self.data.shape[1:]:
            raise ValueError(
                f"a pool must hold examples of shape {tuple(x1.shape[1:])}, "
                f"got {tuple(self.data.shape[1:])}"
            )
        noise, data, members = (end.flatten(1)[None] for end in (x0, x1, self.data))
        same = self._same(cond)
        mean0, mean1 = posterior_ends(noise, data, t[None], interpolant, members, same)
        if self.guidance != 1 and same is not None:
            free0, free1 = posterior_ends(noise, data, t[None], interpolant, members)
            mean0 = torch.lerp(free0, mean0, self.guidance)
            mean1 = torch.lerp(free1, mean1, self.guidance)
        return mean0.reshape(x0.shape), mean1.reshape(x1.shape)

    def _same(self, cond: Condition | None) -> Bool[Tensor, "b p"] | None:
        parts = {} if cond is None else cond.parts()
        category = parts.pop("category", None)
        frame = parts.pop("frame", None)
        if parts or (frame is not None and not bool((frame == frame[:1]).all())):
            raise ValueError(
                "a pool's examples may differ in their category alone; for states given "
                "a shape of their own use SetPool"
            )
        if category is None:
            return None
        if self.category is None:
            raise ValueError("the examples are given categories: give the pool those of its data")
        same = category[:, None] == self.category.to(category.device)
        if not bool(same.any(1).all()):
            raise ValueError("a pool must hold examples of every category that it averages over")
        return same


@dataclass(frozen=True)
class SetPool:
    """Points of the same shape that the points of each set are averaged over.

    The points of a set are independent given their shape, so that each has its own posterior.
    """

    data: Float[Tensor, "b p d"]
    """Points of the shape of each example, the example's own among them."""

    def ends(
        self,
        x0: Float[Tensor, "b n d"],
        x1: Float[Tensor, "b n d"],
        t: Times,
        interpolant: Interpolant,
        cond: Condition | None = None,
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n d"]]:
        """Posterior means of noise and data given the state of each point at t.

        Raises:
            ValueError: for another number of sets than the pool has, or points of other channels.
        """
        sets, channels = len(self.data), self.data.shape[-1]
        if (len(x1), x1.shape[-1]) != (sets, channels):
            raise ValueError(
                f"a pool of {sets} sets of {channels} channels cannot average {tuple(x1.shape)}"
            )
        return posterior_ends(x0, x1, t[:, None].expand(-1, x1.shape[1]), interpolant, self.data)


def posterior_ends(
    x0: Float[Tensor, "c n d"],
    x1: Float[Tensor, "c n d"],
    t: Float[Tensor, "c n"],
    interpolant: Interpolant,
    pool: Float[Tensor, "c p d"],
    same: Bool[Tensor, "n p"] | None = None,
) -> tuple[Float[Tensor, "c n d"], Float[Tensor, "c n d"]]:
    """Posterior means of both ends of the n states of each of c sets, which have a pool each.

    Time is that of n p d products for each set; memory that of a block of weights.

    Args:
        x0: noise.
        x1: data.
        t: time of each state.
        interpolant: the path.
        pool: data that each set's states may come from.
        same: which of the pool a state may come from, alike in all sets; None: all.
    """
    time = t.reshape(-1).double()
    alpha, beta = (
        c.reshape(*t.shape, 1) for c in (interpolant.alpha(time), interpolant.beta(time))
    )
    is_end = alpha == 0
    ratio = beta / torch.where(is_end, 1.0, alpha)
    noise, data, members = x0.double(), x1.double(), pool.double()
    half = members.square().sum(-1)[:, None] / 2
    # -|x - beta y|^2 / 2 alpha^2 but for what all y share.
    state = noise + ratio * data
    block = _CACHED if members.device.type == "cpu" else _BLOCK
    rows = max(block // (members.shape[0] * members.shape[1]), 1)
    means = []
    for start in range(0, noise.shape[1], rows):
        here = slice(start, start + rows)
        scale = ratio[:, here]
        logits = scale * (state[:, here] @ members.mT - scale * half)
        if same is not None:
            logits = logits.masked_fill(~same[here], -torch.inf)
        means.append(logits.softmax(-1) @ members)
    mean1 = torch.where(is_end, data, torch.cat(means, dim=1))
    mean0 = noise + ratio * (data - mean1)
    return mean0.to(x0.dtype), mean1.to(x1.dtype)
