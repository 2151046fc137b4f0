"""Data of the objectives' ladder: two in the plane, a surface in space, chairs as latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.interpolant import Linear
from geoflow.oracles.mixture import MixtureField

# Coordinates of a point of the mixture: three blobs, so that the plane has nine.
_WEIGHTS = (0.5, 0.2, 0.3)
_MEANS = (-1.3, 0.0, 1.3)
_STDS = (0.12, 0.2, 0.08)
_NUM_CHAIRS = {"train": 3_000, "test": 500}
_SURFACE_POINTS = 32_768


def _blobs(dtype: torch.dtype = torch.float32) -> MixtureField:
    weights, means, stds = (torch.tensor(v, dtype=dtype) for v in (_WEIGHTS, _MEANS, _STDS))
    return MixtureField(weights, means, stds, Linear(), "u")


def mixture(num: int, generator: torch.Generator, split: str) -> Float[Tensor, "n 2"]:
    """Nine Gaussian blobs of unequal weight in the plane."""
    return _blobs().sample(num, 2, generator=generator)


def mixture_end(noise: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """Where the exact flow of the nine blobs carries noise, the same on every path."""
    x0 = noise.double()
    zero = x0.new_zeros(len(x0))
    return _blobs(torch.float64).flow(x0, zero, zero + 1).to(noise.dtype)


def checkerboard(num: int, generator: torch.Generator, split: str) -> Float[Tensor, "n 2"]:
    """Uniform on the black squares of a board of four by four, of side 4."""
    column = torch.randint(4, (num,), generator=generator)
    row = 2 * torch.randint(2, (num,), generator=generator) + column % 2
    inside = torch.rand(num, 2, generator=generator)
    return torch.stack([column, row], dim=1) + inside - 2


def surface(num: int, generator: torch.Generator, split: str) -> Float[Tensor, "n 3"]:
    """Uniform on the surface of one procedural chair, with mean 0 and unit variance overall."""
    from geoflow_datasets.procedural.source import PROCEDURAL

    bank = PROCEDURAL.bank(["chair"], split="test", num=1, num_surface=_SURFACE_POINTS)
    points = torch.tensor(bank.surface[0].astype(np.float32))
    points = (points - points.mean(0)) / points.std()
    return points[torch.randint(len(points), (num,), generator=generator)]


def chair_latents(num: int, generator: torch.Generator, split: str) -> Float[Tensor, "n 256"]:
    """Latents of procedural chairs under the shipped model's encoder, as its flow sees them."""
    from geoflow.models.fields import Generator
    from geoflow.symmetry import upright_frame
    from geoflow.training.stages.latent_flow import FlowTraining, encode_shapes
    from geoflow_datasets.procedural.source import PROCEDURAL

    model = Generator.from_pretrained("chair")
    bank = PROCEDURAL.bank(["chair"], split=split, num=_NUM_CHAIRS[split], show_progress=True)
    latents = encode_shapes(model, bank, FlowTraining())
    frame = upright_frame(model.config.symmetry, len(latents.tokens))
    scaled = model.scale.normalise(latents.tokens, frame).flatten(1)
    return scaled[torch.randperm(len(scaled), generator=generator)[:num]]


def digits(num: int, generator: torch.Generator, split: str) -> Float[Tensor, "n 64"]:
    """Handwritten digits of 8 x 8 pixels in [-1, 1], every fifth held out; of scikit-learn.

    Raises:
        ValueError: without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError("digits need scikit-learn: pip install 'geoflow[examples]'") from None

    pixels = torch.from_numpy(load_digits().data).float() / 8 - 1
    is_test = torch.arange(len(pixels)) % 5 == 0
    chosen = pixels[is_test if split == "test" else ~is_test]
    return chosen[torch.randperm(len(chosen), generator=generator)[:num]]


# Each draws at most `num` examples of a split; only chairs know splits, and are finite.
DATA: dict[str, Callable[[int, torch.Generator, str], Tensor]] = {
    "mixture": mixture,
    "checkerboard": checkerboard,
    "surface": surface,
    "chair-latents": chair_latents,
}
# What is small enough to distil one teacher in every way.
DISTILLED = {**DATA, "digits": digits}
# Where noise ends, for data whose flow is known.
EXACT: dict[str, Callable[[Tensor], Tensor]] = {"mixture": mixture_end}
