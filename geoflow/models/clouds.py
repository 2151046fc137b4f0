"""A trained generator of point clouds: noise to latent tokens, and noise to the shape's points."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.point_decoder import PointDecoder
from geoflow.backbones.shape_encoder import Encoder
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.finite import finite
from geoflow.models.latent import Detail, LatentGenerator
from geoflow.models.latent_config import LatentConfig
from geoflow.samplers import sample_states, without_gradient
from geoflow.seeds import step_generator
from geoflow.symmetry import turn_to
from geoflow.times import power_grid
from geoflow.typing import Positive

# Points in flight at a time.
_CHUNK = 65_536


@dataclass(frozen=True)
class PointFlowConfig:
    """The flow of single points of a shape."""

    interpolant: str = "linear"
    """Key of INTERPOLANTS."""
    prediction: str = "u"
    """Key of PREDICTIONS."""
    spread: float = 0.4
    """Standard deviation of coordinates: the flow's state is a point divided by it."""
    grid_power: Positive = 1.0
    """Of the times of a point's jumps, as of the latents'."""

    def grid(self, steps: int) -> Float[Tensor, " n"]:
        """Times of a point's way of `steps` jumps.

        Raises:
            ValueError: for fewer than one step.
        """
        return power_grid(steps, self.grid_power)


@dataclass(frozen=True)
class CloudConfig(LatentConfig):
    """Everything that is needed to build the networks of a generator of clouds."""

    points: PointFlowConfig = field(default_factory=PointFlowConfig)
    """The flow of points."""

    @staticmethod
    def reads_normals() -> bool:
        """Clouds have no normals."""
        return False


class PointAutoencoder(nn.Module):
    """Points to latent tokens; tokens to a distribution of points, as a flow map from noise.

    The two distributions of PointFlow (Yang et al., 2019, arXiv:1906.12320), of shapes and of the
    points of a shape, are both flow maps here.
    """

    def __init__(self, config: CloudConfig) -> None:
        super().__init__()
        self.config, self.spread = config.autoencoder, config.points.spread
        self.grid = config.points.grid
        self.encoder = Encoder(config.autoencoder)
        decoder, points = PointDecoder(config.autoencoder), config.points
        self.flow = FlowMap(decoder, points.interpolant, points.prediction)

    def encode(
        self,
        points: Float[Tensor, "b n 3"],
        frame: Float[Tensor, "b m 3"] | None = None,
    ) -> Float[Tensor, "b k c"]:
        """Packed latent tokens of clouds about the origin, whatever the order of the points."""
        return self.encoder(points, None, frame, points.new_zeros(len(points), 3))

    @torch.no_grad()
    def draw(
        self,
        tokens: Float[Tensor, "b k c"],
        noise: Float[Tensor, "b n 3"],
        *,
        steps: int,
        frame: Float[Tensor, "b m 3"] | None = None,
        ode: bool = False,
    ) -> Float[Tensor, "b n 3"]:
        """Points of each latent's shape, one for each row of unit noise."""
        flow = self.flow_of(Condition(frame, tokens=tokens))
        parts, times = [], None if ode else self.grid(steps)
        for part in noise.split(_CHUNK, dim=1):
            *_, last = sample_states(flow, part, ode=ode, steps=steps, times=times)
            parts.append(last)
        return self.spread * torch.cat(parts, dim=1)

    def flow_of(self, condition: Condition) -> FlowMap:
        """The flow of the points of given shapes, whose latents are read once; no gradients."""
        decoder = self.flow.backbone
        assert isinstance(decoder, PointDecoder)
        folded = decoder.folded(condition)
        return FlowMap(folded, self.flow.interpolant, self.flow.prediction_key)


@dataclass
class PointGenerator(LatentGenerator[PointAutoencoder]):
    """A generator of point clouds of any size."""

    kind = "points"
    config_type = CloudConfig
    num_encoded = 1024

    @staticmethod
    def build_autoencoder(config: CloudConfig) -> PointAutoencoder:
        """The autoencoder of clouds, with fresh weights."""
        return PointAutoencoder(config)

    def encode_points(
        self, points: Float[Tensor, "b n 3"], normals: Float[Tensor, "b n 3"] | None
    ) -> Float[Tensor, "b k c"]:
        """Latents of upright clouds; normals are not read."""
        return self.autoencoder.encode(points, self.frame_for(len(points)))

    def point_noise(
        self, num: int, points: int, *, seed: int = 0, first: int = 0
    ) -> Float[Tensor, "b n 3"]:
        """Unit noise of the points of samples first..first+num-1, the same in any batch."""
        noise = [
            torch.randn(points, 3, generator=step_generator(seed, "points", first + i))
            for i in range(num)
        ]
        return torch.stack(noise).to(self.device)

    def sample(
        self,
        *,
        num: int = 1,
        points: int = 2048,
        steps: int = 2,
        point_steps: int | None = None,
        seed: int = 0,
        category: str | None = None,
        frame: Float[Tensor, "m 3"] | None = None,
    ) -> list[trimesh.PointCloud]:
        """Clouds; each one's `metadata` has seed, index, nfe, point_nfe and seconds."""
        return list(
            self.iterate(
                num=num,
                points=points,
                steps=steps,
                point_steps=point_steps,
                seed=seed,
                category=category,
                frame=frame,
            )
        )

    def iterate(
        self,
        *,
        num: int = 1,
        points: int = 2048,
        steps: int = 2,
        point_steps: int | None = None,
        seed: int = 0,
        category: str | None = None,
        frame: Float[Tensor, "m 3"] | None = None,
    ) -> Iterator[trimesh.PointCloud]:
        """As `sample`, one cloud at a time.

        Args:
            num: clouds.
            points: points of each cloud.
            steps: network evaluations for the shape.
            point_steps: network evaluations for its points; default: as many.
            seed: seed of the noise of shapes and points.
            category: a name of `categories`; default: the first.
            frame: where the samples stand; default: upright.

        Raises:
            ValueError: for num, points, steps or point_steps below 1, or an unknown category.
        """
        for name, value in (("num", num), ("points", points)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        point_steps = steps if point_steps is None else point_steps
        placed = None if frame is None else frame[None]
        cond = self.condition(1, category=category, frame=placed)
        for i in range(num):
            start = time.perf_counter()
            noise = self.noise(1, seed=seed, first=i, frame=placed)
            tokens = self.sample_latents(noise, cond, steps=steps)
            cloud = self.decode(tokens, points, steps=point_steps, seed=seed, first=i, frame=placed)
            made = trimesh.PointCloud(cloud[0].double().cpu().numpy())
            seconds = time.perf_counter() - start
            made.metadata.update(
                seed=seed, index=i, nfe=steps, point_nfe=point_steps, seconds=seconds
            )
            yield made

    def decode(
        self,
        tokens: Float[Tensor, "b k c"],
        points: int,
        *,
        steps: int = 2,
        seed: int = 0,
        first: int = 0,
        frame: Float[Tensor, "b m 3"] | None = None,
        ode: bool = False,
    ) -> Float[Tensor, "b n 3"]:
        """Points of latents, in normalised units; their noise turns along with a given frame.

        Raises:
            ValueError: for a frame that is not orthonormal.
            FloatingPointError: for points that are not finite.
        """
        noise = self.point_noise(len(tokens), points, seed=seed, first=first)
        if frame is not None:
            noise = noise @ turn_to(frame.to(noise))
        placed = self.frame_for(len(tokens), frame)
        drawn = self.autoencoder.draw(tokens, noise, steps=steps, frame=placed, ode=ode)
        return finite(drawn, "coordinates of its points")

    def shapes(
        self,
        tokens: Float[Tensor, "b k c"],
        detail: Detail = Detail(),  # noqa: B008
        *,
        steps: int = 2,
        seed: int = 0,
        first: int = 0,
        ode: bool = False,
    ) -> list[trimesh.PointCloud | None]:
        """Clouds of latents."""
        drawn = self.decode(tokens, detail.points, steps=steps, seed=seed, first=first, ode=ode)
        return [trimesh.PointCloud(cloud.double().cpu().numpy()) for cloud in drawn]

    def point_trajectory(
        self,
        tokens: Float[Tensor, "b k c"],
        noise: Float[Tensor, "b n 3"],
        *,
        steps: int = 2,
        frame: Float[Tensor, "b m 3"] | None = None,
        ode: bool = False,
        times: Float[Tensor, " t"] | None = None,
    ) -> Iterator[Float[Tensor, "b n 3"]]:
        """Points of latents at every time of the grid, noise first; the last are those of `decode`.

        Args:
            tokens: the latents.
            noise: unit Gaussian, as of `point_noise`.
            steps: jumps; ignored where `times` is given.
            frame: where the samples stand; default: upright.
            ode: follow the ODE of the diagonal.
            times: grid that rises to 1; default: as of `LatentGenerator.trajectory`.

        Raises:
            ValueError: for steps < 1, or a grid that does not rise to 1.
        """
        condition = Condition(self.frame_for(len(tokens), frame), tokens=tokens)
        flow = self.autoencoder.flow_of(condition)
        if times is None and not ode:
            times = self.autoencoder.grid(steps)
        way = sample_states(flow, noise, ode=ode, steps=steps, times=times)
        for state in without_gradient(way):
            yield self.autoencoder.spread * state
