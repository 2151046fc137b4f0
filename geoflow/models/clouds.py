"""A trained generator of point clouds: noise to latent tokens, and noise to the shape's points."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones.point_decoder import PointDecoder
from geoflow.backbones.shape_encoder import Encoder
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.config import ModelConfig, Representation
from geoflow.models.latent import LatentGenerator
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow.seeds import step_generator

# Points of one call of the decoder.
_CHUNK = 65_536
_NUM_SURFACE = 1024


class PointAutoencoder(nn.Module):
    """Points to latent tokens; tokens to a law of points, as a flow map from noise.

    The two laws of PointFlow (Yang et al., 2019, arXiv:1906.12320), of shapes and of the points of
    a shape, are both flow maps here.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.spread = config.autoencoder, config.points.spread
        self.encoder = Encoder(config.autoencoder)
        decoder, law = PointDecoder(config.autoencoder), config.points
        self.law = FlowMap(decoder, law.interpolant, law.prediction)

    def encode(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
    ) -> Float[Tensor, "b k c"]:
        """Packed latent tokens of clouds about the origin, whatever the order of the points.

        Raises:
            ValueError: if normals are given: clouds have none.
        """
        return self.encoder(points, normals, frame, points.new_zeros(len(points), 3))

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
        sampler = sample_ode if ode else sample_flow_map
        condition = Condition(frame, tokens=tokens)
        parts = []
        for part in noise.split(_CHUNK, dim=1):
            *_, last = sampler(self.law, part, steps=steps, cond=condition)
            parts.append(last)
        return self.spread * torch.cat(parts, dim=1)


@dataclass
class PointGenerator(LatentGenerator[PointAutoencoder]):
    """A generator of point clouds of any size."""

    representation: ClassVar[Representation] = "points"

    @staticmethod
    def build_autoencoder(config: ModelConfig) -> PointAutoencoder:
        """The autoencoder of clouds, with fresh weights."""
        return PointAutoencoder(config)

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
            category: a name of `config.categories`; default: the first.
            frame: where the samples stand; default: upright.

        Raises:
            ValueError: for num, points, steps or point_steps below 1, or an unknown category.
        """
        for name, value in (("num", num), ("points", points)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        point_steps = steps if point_steps is None else point_steps
        placed = None if frame is None else frame[None]
        for i in range(num):
            start = time.perf_counter()
            tokens = self.sample_latents(
                self.noise(1, seed=seed, first=i), steps=steps, category=category, frame=placed
            )
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
        """Points of latents, in normalised units."""
        noise = self.point_noise(len(tokens), points, seed=seed, first=first)
        placed = self.frame_for(len(tokens), frame)
        return self.autoencoder.draw(tokens, noise, steps=steps, frame=placed, ode=ode)

    @torch.no_grad()
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
            steps: equal intervals of the grid; ignored where `times` is given.
            frame: where the samples stand; default: upright.
            ode: follow the ODE of the diagonal.
            times: grid that rises to 1.

        Raises:
            ValueError: for steps < 1, or a grid that does not rise to 1.
        """
        condition = Condition(self.frame_for(len(tokens), frame), tokens=tokens)
        sampler = sample_ode if ode else sample_flow_map
        law = self.autoencoder.law
        for state in sampler(law, noise, steps=steps, cond=condition, times=times):
            yield self.autoencoder.spread * state

    @torch.no_grad()
    def encode_mesh(self, mesh: trimesh.Trimesh, *, seed: int = 0) -> Float[Tensor, "k c"]:
        """Latent tokens of a mesh in normalised units, from points of its surface."""
        points, _ = trimesh.sample.sample_surface(mesh, _NUM_SURFACE, seed=seed)
        surface = torch.from_numpy(np.asarray(points, np.float32))[None].to(self.device)
        return self.autoencoder.encode(surface, None, self.frame_for(1))[0]
