"""Geometry distributions: one shape as the distribution of the points of its surface.

A flow map of single points carries Gaussian noise to the surface, so that any number of points
can be drawn, each on its own, in one to three network evaluations; and carries the surface back.
Points may bring their unit normal and colour along as further channels.

References: Zhang et al., "Geometry Distributions", 2024, arXiv:2411.16076; in few steps, Li et
al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026, arXiv:2605.03623.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones import MLP, MLPConfig
from geoflow.flow_map import FlowMap, Preconditioned
from geoflow.interpolant import INTERPOLANTS
from geoflow.models.base import Model
from geoflow.models.finite import finite
from geoflow.samplers import sample_states, without_gradient
from geoflow.seeds import seeded_generator
from geoflow.times import LogitNormalPairs
from geoflow.typing import Positive

CHANNELS = {"position": 3, "normal": 3, "color": 3}
"""Numbers of each thing that a point may carry; positions come first."""
_CHUNK = 65_536
# Points of one evaluation: its activations stay in a core's cache.
_BLOCK = 4096
# Times of training end here too: fields of data have no velocity at t = 1.
_LATEST = 0.999


@dataclass(frozen=True)
class DistributionConfig:
    """What is needed to build the networks."""

    channels: tuple[str, ...] = ("position",)
    """Keys of CHANNELS that a point carries."""
    interpolant: str = "ve"
    """Key of INTERPOLANTS."""
    prediction: str = "x1"
    """Key of PREDICTIONS."""
    width: int = 192
    """Hidden channels of the perceptron."""
    blocks: int = 4
    """Residual blocks."""
    octaves: int = 4
    """Frequencies of the positional encoding: surfaces are sharper than a perceptron is quick."""
    grid_power: Positive = 0.65
    """Samples jump along the quantiles (i / steps)**grid_power of the times: the last jump is the
    hardest, where points of a surface part."""

    @property
    def size(self) -> int:
        """Numbers of a point."""
        return sum(CHANNELS[name] for name in self.channels)

    @property
    def times(self) -> LogitNormalPairs:
        """Distribution of the times of training.

        On every path it favours noise between 0.01 and 10 times the shape's size.
        """
        return LogitNormalPairs(*INTERPOLANTS[self.interpolant]().noise_times())

    def grid(self, steps: int) -> Float[Tensor, " n"]:
        """Times 0 to 1 that samples in few evaluations jump along.

        Raises:
            ValueError: for fewer than one step.
        """
        return self.times.grid(steps, self.grid_power)


class PointScale(nn.Module):
    """The affine map that gives the points of a shape mean 0 and unit variance overall."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.mean: Tensor
        self.std: Tensor

    def fit(self, points: Float[Tensor, "n c"]) -> None:
        """Centre on the points; all coordinates of one channel share one scale."""
        self.mean.copy_(points.mean(0))
        variance = points.var(0)
        for start in range(0, len(variance), 3):
            # A constant colour has no variance of its own.
            spread = variance[start : start + 3].mean().sqrt().clamp(min=1e-3)
            self.std[start : start + 3] = spread

    def normalise(self, points: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """To unit variance."""
        return (points - self.mean) / self.std

    def denormalise(self, points: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Back to the shape."""
        return points * self.std + self.mean


@dataclass
class GeometryDistribution(Model):
    """A flow map of points, and the scale of its shape."""

    flow_map: FlowMap
    scale: PointScale
    config: DistributionConfig
    card: dict[str, Any] = field(default_factory=dict)
    kind = "distribution"
    config_type = DistributionConfig

    @classmethod
    def build(cls, config: DistributionConfig) -> GeometryDistribution:
        """Networks with fresh weights.

        Raises:
            ValueError: for an unknown interpolant or prediction, or channels that are unknown or
                do not start with positions.
        """
        if config.channels[:1] != ("position",) or set(config.channels) - set(CHANNELS):
            raise ValueError(
                f"channels start with position and are among {', '.join(CHANNELS)}, "
                f"got {', '.join(config.channels)}"
            )
        network = MLP(
            MLPConfig(
                size=config.size,
                width=config.width,
                blocks=config.blocks,
                octaves=config.octaves,
            )
        )
        flow_map = FlowMap(network, config.interpolant, config.prediction)
        if config.prediction == "x1":
            flow_map.backbone = Preconditioned(network, flow_map.interpolant, data_std=1.0)
        return cls(flow_map, PointScale(config.size), config)

    def modules(self) -> dict[str, nn.Module]:
        """All networks by the prefix of their tensors."""
        return {"flow": self.flow_map, "scale": self.scale}

    def iterate(
        self, num: int, *, steps: int = 2, seed: int = 0, ode: bool = False, chunk: int = _CHUNK
    ) -> Iterator[Float[Tensor, "m c"]]:
        """Points in chunks, on the CPU: memory does not grow with their number.

        Jumps go along the quantiles of the times that were trained, which serves few steps; the
        ODE along equal intervals, which on falling noise levels are those of EDM. Point i of a
        seed is the same for every number of points of one chunk size.

        Args:
            num: points in all.
            steps: network evaluations per point.
            seed: seed of the noise.
            ode: solve the ODE by Euler steps instead of jumping.
            chunk: points of a chunk, at most.

        Raises:
            ValueError: for num, steps or chunk below 1, or what is no seed.
            FloatingPointError: for points that are not finite.
        """
        for name, value in (("num", num), ("steps", steps), ("chunk", chunk)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        generator = seeded_generator(seed)
        for start in range(0, num, chunk):
            noise = torch.randn(chunk, self.config.size, generator=generator)
            parts = []
            for part in noise[: num - start].split(_BLOCK):
                *_, last = self.trajectory(part, steps=steps, ode=ode)
                parts.append(last)
            yield finite(torch.cat(parts), "numbers of its points")

    def noise(self, num: int, *, seed: int = 0) -> Float[Tensor, "n c"]:
        """Unit noise of the first `num` points of a seed, at most one chunk of `iterate`.

        Raises:
            ValueError: for more points than a chunk has.
        """
        if not 1 <= num <= _CHUNK:
            raise ValueError(f"num must be from 1 to {_CHUNK}, got {num}")
        generator = seeded_generator(seed)
        return torch.randn(_CHUNK, self.config.size, generator=generator)[:num]

    def trajectory(
        self,
        noise: Float[Tensor, "n c"],
        *,
        steps: int = 2,
        ode: bool = False,
        times: Float[Tensor, " t"] | None = None,
    ) -> Iterator[Float[Tensor, "n c"]]:
        """Points, on the CPU, at every time of the sampler's grid, noise first.

        Args:
            noise: unit Gaussian.
            steps: network evaluations per point; ignored where `times` is given.
            ode: solve the ODE by Euler steps instead of jumping.
            times: grid that rises to 1; default: as of `iterate`.

        Raises:
            ValueError: for steps < 1, or a grid that does not rise to 1.
        """
        if times is None and not ode:
            times = self.config.grid(steps)
        noise = noise.to(self.device)
        way = sample_states(self.flow_map, noise, ode=ode, steps=steps, times=times)
        for state in without_gradient(way):
            yield self.scale.denormalise(state).cpu()

    def sample(
        self, num: int, *, steps: int = 2, seed: int = 0, ode: bool = False
    ) -> Float[Tensor, "n c"]:
        """All points at once; arguments and errors as of `iterate`."""
        return torch.cat(list(self.iterate(num, steps=steps, seed=seed, ode=ode)))

    @torch.no_grad()
    def invert(self, points: Float[Tensor, "n c"], *, steps: int = 64) -> Float[Tensor, "n c"]:
        """Unit noise whose trajectory passes through points of the surface.

        The ODE is followed back from the latest time at which the velocity is defined, by Heun's
        method: two evaluations a step.

        Raises:
            ValueError: for fewer than one step, or points with other channels.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        if points.shape[-1] != self.config.size:
            raise ValueError(
                f"points must have {self.config.size} channels "
                f"({', '.join(self.config.channels)}), got {points.shape[-1]}"
            )
        x = self.scale.normalise(points.to(self.scale.mean.device))
        grid = torch.linspace(_LATEST, 0.0, steps + 1, dtype=torch.float64).tolist()
        for start, end in pairwise(grid):
            t, r = x.new_full((len(x),), start), x.new_full((len(x),), end)
            slope = self.flow_map.velocity(x, t)
            ahead = x + (end - start) * slope
            x = x + (end - start) * (slope + self.flow_map.velocity(ahead, r)) / 2
        # The path starts at alpha(0) x0 + beta(0) x1; only the first is noise.
        return (x / self.flow_map.interpolant.alpha(x.new_zeros(1))).cpu()
