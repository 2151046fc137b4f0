"""How networks read a time.

Smooth, low frequencies: derivatives in time, exact or by difference, stay tame.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.typing import Times

# Highest frequency of the time embedding, in radians per unit of time: finite differences in
# time with a step of 3e-4 stay in the linear range.
_MAX_FREQUENCY = 32.0


class TimeEmbedding(nn.Module):
    """Sinusoidal features of a time, then a two-layer perceptron."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0.0, math.log(_MAX_FREQUENCY), 32))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(64, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.frequencies: Tensor

    def forward(self, t: Times) -> Float[Tensor, "b d"]:
        """Embed."""
        phase = t[:, None] * self.frequencies
        return self.mlp(torch.cat([phase.sin(), phase.cos()], dim=-1))
