"""Critic of latent tokens: symmetry O(3) with the frame turning along.

D(R x, t | R frame) = D(x, t | frame), exactly: its numbers are made of the scalars of tokens alone.
It begins as the first blocks of a flow's network, which know noisy data already, and ends in one
number at each of several depths, a mean over tokens.

Reference: Sauer et al., "Fast High-Resolution Image Synthesis with Latent Adversarial Diffusion
Distillation", 2024, arXiv:2403.12015; Lin et al., "Diffusion Adversarial Post-Training for One-Step
Video Generation", 2025, arXiv:2501.08316, there with heads that attend.
"""

from __future__ import annotations

import copy
import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.token_transformer import TokenTransformer
from geoflow.condition import Condition
from geoflow.typing import Times

# Numbers of a fresh critic are about so far from 0.
_SMALL = 0.02


class TokenCritic(nn.Module):
    """How real states of a flow look, at time t of their way from noise to data.

    Args:
        network: of the flow, copied as far as the last depth.
        depths: numbers of blocks after which the tokens are judged, ascending.

    Raises:
        ValueError: for depths that do not ascend, or that the network does not have.
    """

    def __init__(self, network: TokenTransformer, depths: tuple[int, ...] = (2, 4)) -> None:
        super().__init__()
        bounds = (0, *depths, len(network.blocks) + 1)
        if not depths or any(here >= there for here, there in itertools.pairwise(bounds)):
            raise ValueError(f"depths must ascend within 1 and {len(network.blocks)}, got {depths}")
        width = network.config.width
        self.depths = depths
        self.trunk = copy.deepcopy(network).requires_grad_(True)
        # What comes after the last depth is not of the critic.
        self.trunk.blocks = self.trunk.blocks[: depths[-1]]
        for name in ("norm", "to_scalars", "to_gates", "to_vectors", "to_frame"):
            delattr(self.trunk, name)
        self.heads = nn.ModuleList(_head(width) for _ in depths)

    def forward(
        self, x: Float[Tensor, "b k c"], t: Times, cond: Condition | None = None
    ) -> Float[Tensor, "b d"]:
        """A number for each depth, larger for what looks more like data.

        Raises:
            ValueError: as of the network, for a condition that it cannot read.
        """
        s, v, frame, modulation = self.trunk.embedded(x, t, t, cond)
        found = []
        heads = dict(zip(self.depths, self.heads, strict=True))
        for depth, block in enumerate(self.trunk.blocks, 1):
            s, v = block(s, v, frame, modulation)
            if depth in heads:
                found.append(heads[depth](s)[..., 0].mean(1))
        return torch.stack(found, dim=-1)


def _head(width: int) -> nn.Sequential:
    last = nn.Linear(width, 1)
    nn.init.normal_(last.weight, std=_SMALL)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), last)
