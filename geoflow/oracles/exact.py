"""Flow maps in closed form: the oracles of tests, examples and benchmarks.

Of data whose flow is known exactly, everything else follows: the instantaneous field from
the expectations of noise and data given the state, the cumulative field as the one that the
affine form of the prediction turns into the flow.

Reference: Albergo et al., "Stochastic Interpolants", 2023, arXiv:2303.08797.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.interpolant import Interpolant
from geoflow.prediction import PREDICTIONS
from geoflow.times import expand_time
from geoflow.typing import Times


class ExactField(nn.Module, ABC):
    """Backbone that outputs the exact cumulative field of the data.

    Off the diagonal the field is a difference quotient: its relative rounding error is that of
    the number format divided by r - t.
    """

    def __init__(self, interpolant: Interpolant, prediction: str) -> None:
        super().__init__()
        self.interpolant = interpolant
        self.prediction_key = prediction
        self.prediction = PREDICTIONS[prediction](interpolant)

    @abstractmethod
    def flow(self, x: Float[Tensor, "b *s"], t: Times, r: Times) -> Float[Tensor, "b *s"]:
        """Flow map psi_{t->r}(x), in either direction of time."""

    @abstractmethod
    def ends(
        self, x: Float[Tensor, "b *s"], t: Times
    ) -> tuple[Float[Tensor, "b *s"], Float[Tensor, "b *s"]]:
        """Expectations of noise x0 and data x1 given the state at t."""

    def as_flow_map(self) -> FlowMap:
        """The exact flow map, as the same class as a learned one."""
        return FlowMap(self, self.interpolant, self.prediction_key)

    def forward(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Cumulative field m_{t->r}(x); the instantaneous field at r = t."""
        p, q = (expand_time(c, like=x) for c in self.prediction.coefficients(t, r))
        if bool((p == 0).all()):
            # Solvers ask for the diagonal alone, and a flow may be dear.
            return self.instantaneous(x, t)
        quotient = (self.flow(x, t, r) - q * x) / torch.where(p == 0, 1.0, p)
        return torch.where(p == 0, self.instantaneous(x, t), quotient)

    def instantaneous(self, x: Float[Tensor, "b *s"], t: Times) -> Float[Tensor, "b *s"]:
        """Instantaneous field m_t(x): the conditional field is linear in its ends."""
        return self.prediction.conditional(*self.ends(x, t), t)

    def velocity(self, x: Float[Tensor, "b *s"], t: Times) -> Float[Tensor, "b *s"]:
        """Velocity b_t(x) of the flow."""
        return self.interpolant.velocity(*self.ends(x, t), t)
