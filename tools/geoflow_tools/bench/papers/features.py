"""Features of pictures by a small network trained here, and the Frechet distance between sets.

Like FID, but for the network: Inception knows nothing of shaded chairs, and is not needed to tell
digits. Distances of other networks are other numbers.

Reference: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
Equilibrium", 2017, arXiv:1706.08500 (FID); Dowson and Landau, "The Frechet Distance between
Multivariate Normal Distributions", Journal of Multivariate Analysis 12, 1982.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow_tools.bench.papers.pictures import Pictures

FEATURES = 32
_BATCH, _RATE, _DECAY = 128, 2e-3, 0.05


class FeatureNetwork(nn.Module):
    """Three convolutions, each at half the size of the last; features, and what they tell."""

    def __init__(self, size: int, targets: int) -> None:
        super().__init__()
        self.size = size
        channels = (1, 16, 32, 32)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
            size = (size + 1) // 2
        self.look = nn.Sequential(*layers, nn.Flatten())
        self.features = nn.Linear(channels[-1] * size**2, FEATURES)
        self.tell = nn.Linear(FEATURES, targets)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b f"]:
        """Features of pictures."""
        picture = x.reshape(len(x), 1, self.size, self.size)
        return nn.functional.silu(self.features(self.look(picture)))


def train_features(
    pictures: Pictures, *, seconds: float, seed: int = 0
) -> tuple[FeatureNetwork, float]:
    """A network that tells the targets, and the share of held-out variance that it explains.

    Args:
        pictures: those to train on, and the reference, which only the share is measured on.
        seconds: of the processor.
        seed: of the weights and the batches.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    mean, std = pictures.targets.mean(0), pictures.targets.std(0).clamp(min=1e-6)
    targets, held_out = ((t - mean) / std for t in (pictures.targets, pictures.reference_targets))
    network = FeatureNetwork(pictures.size, targets.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    start = time.process_time()
    while (spent := (time.process_time() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1 + math.cos(math.pi * spent)) / 2
        rows = torch.randint(len(targets), (_BATCH,), generator=generator)
        told = network.tell(network(pictures.train[rows]))
        nn.functional.mse_loss(told, targets[rows]).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    network.requires_grad_(False).eval()
    missed = (network.tell(network(pictures.reference)) - held_out).square().mean()
    return network, 1 - (missed / held_out.var(0, correction=0).mean()).item()


def frechet_distance(a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]) -> float:
    """Squared Wasserstein-2 distance of the Gaussians with the sets' means and covariances.

    Raises:
        ValueError: for a set of fewer than two.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"sets must have at least two features, got {len(a)} and {len(b)}")
    x, y = a.double(), b.double()
    apart = (x.mean(0) - y.mean(0)).square().sum()
    first, second = torch.cov(x.T), torch.cov(y.T)
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return (apart + first.trace() + second.trace() - 2 * shared).item()
