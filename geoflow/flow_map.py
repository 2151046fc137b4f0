"""The two-time flow map of the generative ODE, as a network.

    psi_{t->r}(x) = P(t, r) m_{t->r}(x) + Q(t, r) x,    m_{t->r}(x) = backbone(x, t, r)

psi takes the ODE's state at t to its state at r; psi_{t->t} is the identity by construction,
and the diagonal r = t is the ordinary velocity (or denoiser) network.

References: Boffi et al., "Flow map matching", 2024, arXiv:2406.07507; Li et al., "Cumulative
flow maps", 2026, arXiv:2605.03623, eq. 2.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from geoflow.interpolant import INTERPOLANTS, Interpolant
from geoflow.prediction import PREDICTIONS, Prediction
from geoflow.times import expand_time
from geoflow.typing import Condition, Times


class FlowMap(nn.Module):
    """Backbone, interpolant and prediction: a map from any time to any later time."""

    def __init__(self, backbone: nn.Module, interpolant: Interpolant, prediction: str) -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise ValueError(
                f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}"
            )
        self.backbone = backbone
        self.interpolant = interpolant
        self.prediction: Prediction = PREDICTIONS[prediction](interpolant)

    @staticmethod
    def build(backbone: nn.Module, interpolant: str, prediction: str) -> FlowMap:
        """From the keys of INTERPOLANTS and PREDICTIONS.

        Raises:
            ValueError: for an unknown key, or a pair that does not go together.
        """
        if interpolant not in INTERPOLANTS:
            raise ValueError(
                f"interpolant must be one of {', '.join(INTERPOLANTS)}, got {interpolant!r}"
            )
        return FlowMap(backbone, INTERPOLANTS[interpolant](), prediction)

    def field(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Cumulative field m_{t->r}(x), the network's output."""
        out: Tensor = self.backbone(x, t, r, cond)
        return out

    def forward(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """State at r of the trajectory that is at x at t; one network evaluation."""
        p, q = self.prediction.coefficients(t, r)
        return expand_time(p, like=x) * self.field(x, t, r, cond) + expand_time(q, like=x) * x

    def velocity(
        self, x: Float[Tensor, "b *s"], t: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Velocity b_t(x) of the probability-flow ODE, from the diagonal."""
        return self.prediction.velocity(self.field(x, t, t, cond), x, t)
