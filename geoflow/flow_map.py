"""The flow map: a network of two times that carries a state from t to r.

    psi_{t->r}(x) = P(t, r) m_{t->r}(x) + Q(t, r) x

psi_{t->t} is the identity exactly, whatever the network; with data prediction psi_{t->1} = m.

Reference: Boffi et al., "Flow map matching", 2024, arXiv:2406.07507; the affine form, Li et
al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026, arXiv:2605.03623, eq. 2.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.condition import Condition
from geoflow.interpolant import INTERPOLANTS, Interpolant
from geoflow.prediction import PREDICTIONS, Prediction
from geoflow.times import expand_time
from geoflow.typing import Backbone, Times


class FlowMap(nn.Module):
    """A backbone read as a flow map.

    Args:
        backbone: network of (x, t, r, cond), its output shaped as x; a module, whose weights the
            map then holds.
        interpolant: the path, or a key of INTERPOLANTS.
        prediction: key of PREDICTIONS, what the network's output means.

    Raises:
        ValueError: for an unknown key.
    """

    def __init__(self, backbone: Backbone, interpolant: Interpolant | str, prediction: str) -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise ValueError(
                f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}"
            )
        if isinstance(interpolant, str):
            if interpolant not in INTERPOLANTS:
                raise ValueError(
                    f"interpolant must be one of {', '.join(INTERPOLANTS)}, got {interpolant!r}"
                )
            interpolant = INTERPOLANTS[interpolant]()
        self.backbone = backbone
        self.interpolant = interpolant
        self.prediction_key = prediction
        self.prediction: Prediction = PREDICTIONS[prediction](interpolant)

    def forward(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """State at time r of the trajectory that passes x at time t."""
        return self.apply_field(self.field(x, t, r, cond), x, t, r)

    def field(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Cumulative field m_{t->r}(x), the network's output.

        Raises:
            ValueError: if the backbone gives another shape than it was given.
        """
        return _shaped(self.backbone(x, t, r, cond), like=x)

    def apply_field(
        self, field: Float[Tensor, "b *s"], x: Float[Tensor, "b *s"], t: Times, r: Times
    ) -> Float[Tensor, "b *s"]:
        """P(t, r) field + Q(t, r) x; with the instantaneous field, a first-order step."""
        p, q = self.prediction.coefficients(t, r)
        return expand_time(p, like=x) * field + expand_time(q, like=x) * x

    def field_between(
        self, x: Float[Tensor, "b *s"], y: Float[Tensor, "b *s"], t: Times, r: Times
    ) -> Float[Tensor, "b *s"]:
        """The field that takes x at t to y at r, for t and r apart: `apply_field` solved for it."""
        p, q = self.prediction.coefficients(t, r)
        return (y - expand_time(q, like=x) * x) / expand_time(p, like=x)

    def diagonal(self) -> FlowMap:
        """The map of first-order steps: its field is the instantaneous one, whatever the end."""
        return FlowMap(Diagonal(self.backbone), self.interpolant, self.prediction_key)

    def velocity(
        self, x: Float[Tensor, "b *s"], t: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Velocity b_t(x) of the flow: the derivative of the map in r at r = t."""
        return self.prediction.velocity(self.field(x, t, t, cond), x, t)


class Diagonal(nn.Module):
    """A backbone that is told of no end: m_{t->r} = m_{t->t}."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Instantaneous field at t."""
        return _shaped(self.backbone(x, t, t, cond), like=x)


class Preconditioned(nn.Module):
    """A backbone for data prediction whose raw network sees and returns unit scale.

        m = c_skip x + c_out F(c_in x, t, r)

    The coefficients make F the part of the data that the best linear denoiser misses, for data
    of standard deviation `data_std` on any interpolant.

    Reference: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", 2022, arXiv:2206.00364, table 1 (there beta = 1).
    """

    def __init__(self, backbone: Backbone, interpolant: Interpolant, *, data_std: float) -> None:
        super().__init__()
        if data_std <= 0:
            raise ValueError(f"data_std must be positive, got {data_std}")
        self.backbone = backbone
        self.interpolant = interpolant
        self.data_std = data_std

    def forward(
        self, x: Float[Tensor, "b *s"], t: Times, r: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b *s"]:
        """Cumulative data field.

        Raises:
            ValueError: if the backbone gives another shape than it was given.
        """
        alpha, beta = self.interpolant.alpha(t), self.interpolant.beta(t)
        scale = torch.sqrt(alpha.square() + (beta * self.data_std).square())
        skip = beta * self.data_std**2 / scale.square()
        out = alpha * self.data_std / scale
        raw = _shaped(self.backbone(x / expand_time(scale, like=x), t, r, cond), like=x)
        return expand_time(skip, like=x) * x + expand_time(out, like=x) * raw


def _shaped(field: Tensor, *, like: Tensor) -> Tensor:
    """The field, whose shape is checked: one that broadcasts would train without a word."""
    if field.shape != like.shape:
        raise ValueError(
            f"the backbone must return the shape of its input, {tuple(like.shape)}, "
            f"got {tuple(field.shape)}"
        )
    return field
