"""Joint prediction: the joints of a figure from points of its surface, in any pose.

A conditional flow map carries a set of noise points to the joints, several points to each; the
points are then merged. Nothing tells up or front: rotating or mirroring the mesh does the same to
the joints, exactly, because the noise turns along, too (see `surface_noise`).

References: the task, Xu et al., "RigNet", 2020, arXiv:2005.00559; as a transport of point sets in
few steps, Li et al., "A Few-Step Generative Model on Cumulative Flow Maps", 2026,
arXiv:2605.03623.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones import JointTransformer, JointTransformerConfig
from geoflow.backbones.joint_transformer import Reading
from geoflow.flow_map import FlowMap
from geoflow.geometry.joints import merge_points, spanning_parents
from geoflow.geometry.metrics import chamfer_distance
from geoflow.models.base import Model
from geoflow.models.finite import finite
from geoflow.samplers import sample_states
from geoflow.seeds import step_generator

SHIPPED = "rig"
# Of the greatest extent: what is thinner counts as flat, as rounding of float32 leaves it.
_FLAT = 1e-6
_NOISES = 4
NO_FIGURE = 0.18
"""Disagreement of the shipped rigger that 30 figures of the validation split stay below."""


@dataclass(frozen=True)
class RiggerConfig:
    """What is needed to build and use the network."""

    network: JointTransformerConfig = field(default_factory=JointTransformerConfig)
    """Sizes of the network."""
    interpolant: str = "linear"
    """Key of INTERPOLANTS."""
    prediction: str = "x1"
    """Key of PREDICTIONS."""
    num_points: int = 512
    """Surface points that the network is shown."""
    cloud: int = 64
    """Points that travel to the joints; at least as many as joints."""
    merge: float = 0.3
    """Distance under which points become one joint, for a surface of unit variance."""
    least: int = 2
    """Points of a joint, at least; fewer are strays."""


@dataclass(frozen=True)
class Rig:
    """Joints of one mesh, in its own coordinates."""

    joints: Float[np.ndarray, "j 3"]
    parents: list[int]
    """Joint that each hangs on, -1 for the root, by the minimum spanning tree: a guess."""
    cloud: Float[np.ndarray, "k 3"]
    """The points before they were merged."""
    nfe: int
    """Network evaluations."""


def standardise(
    points: Float[Tensor, "b n 3"],
) -> tuple[Float[Tensor, "b 1 3"], Float[Tensor, "b 1 1"]]:
    """Centre and scale that give points mean 0 and unit variance: turned points, the same scale.

    Raises:
        ValueError: if all points of a set coincide, or one is not finite.
    """
    centre = points.mean(1, keepdim=True)
    scale = (points - centre).square().mean((1, 2), keepdim=True).sqrt()
    if not bool((scale > 0).all() & scale.isfinite().all()):
        raise ValueError("surface points must be finite, and must not coincide")
    return centre, scale


def surface_noise(
    points: Float[Tensor, "b n 3"], num: int, *, seed: int = 0
) -> Float[Tensor, "b k 3"]:
    """Unit Gaussian noise that turns along with the points.

    With P = U H the polar decomposition of the points, U has orthonormal columns and turns with
    P; normal numbers W give W U, which is N(0, I) whatever the points are. Points of a plane leave
    one column open: along their normal the noise is drawn beside, on the side that the plane's own
    noise turns round, so that it turns along with rotations; reflected noise no function of the
    points can give, as the reflection in their plane does not move them.

    Raises:
        ValueError: for points on a line, which do not tell how they are turned about it.
    """
    clouds = []
    for i, cloud in enumerate(points.double()):
        generator = step_generator(seed, "rig", i)
        weights = torch.randn(num, len(cloud), generator=generator).to(cloud)
        left, sizes, right = torch.linalg.svd(cloud, full_matrices=False)
        rank = int((sizes > _FLAT * sizes[0]).sum())
        if rank < 2:
            raise ValueError("surface points must not lie on a line")
        noise = weights @ (left[:, :rank] @ right[:rank])
        if rank == 2:
            normal = nn.functional.normalize(torch.linalg.cross(noise[0], noise[1]), dim=-1)
            across = torch.randn(num, generator=generator).to(cloud)
            noise = noise + across[:, None] * normal
        clouds.append(noise)
    return torch.stack(clouds).to(points.dtype)


@dataclass
class Rigger(Model):
    """A conditional flow map of points to joints."""

    flow_map: FlowMap
    config: RiggerConfig
    card: dict[str, Any] = field(default_factory=dict)
    kind = "joints"
    config_type = RiggerConfig

    @classmethod
    def build(cls, config: RiggerConfig) -> Rigger:
        """A network with fresh weights.

        Raises:
            ValueError: for an unknown interpolant or prediction.
        """
        network = JointTransformer(config.network)
        return cls(FlowMap(network, config.interpolant, config.prediction), config)

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path = SHIPPED, *, device: str = "cpu"
    ) -> Rigger:
        """The shipped rigger, or as of every model."""
        return super().from_pretrained(name_or_folder, device=device)

    def modules(self) -> dict[str, nn.Module]:
        """The network, by the prefix of its tensors."""
        return {"flow": self.flow_map}

    @torch.no_grad()
    def predict(
        self,
        points: Float[Tensor, "b n 3"],
        *,
        steps: int = 5,
        seed: int = 0,
        ode: bool = False,
        noise: Float[Tensor, "b k 3"] | None = None,
    ) -> Float[Tensor, "b k 3"]:
        """Clouds of points at the joints, in the coordinates of the surface points.

        Args:
            points: surface points, uniform by area.
            steps: network evaluations.
            seed: seed of the noise; figure i of a seed has the same in any batch.
            ode: solve the ODE by Euler steps instead of jumping.
            noise: unit noise instead of that of the seed.

        Raises:
            ValueError: for fewer than one step, or surfaces without extent or with too few points.
            FloatingPointError: for joints that are not finite.
        """
        centre, scale = standardise(points)
        surface = (points - centre) / scale
        if noise is None:
            noise = surface_noise(surface, self.config.cloud, seed=seed)
        *_, last = sample_states(self.transport(surface), noise, ode=ode, steps=steps)
        return finite(last * scale + centre, "coordinates of its joints")

    def transport(self, surface: Float[Tensor, "b n 3"]) -> FlowMap:
        """The flow map given surfaces of mean 0 and unit variance, which are read once."""
        network: JointTransformer = self.flow_map.backbone  # type: ignore[assignment]
        reading = Reading(network, network.read(surface))
        return FlowMap(reading, self.flow_map.interpolant, self.config.prediction)

    def merge(
        self, cloud: Float[np.ndarray, "k 3"], points: Float[np.ndarray, "n 3"]
    ) -> Float[np.ndarray, "j 3"]:
        """Joints of one figure from its cloud; the surface points give the scale."""
        _, scale = standardise(torch.from_numpy(points[None].astype(np.float64)))
        distance = self.config.merge * scale.item()
        return merge_points(cloud, distance=distance, least=self.config.least)

    def rig(self, mesh: trimesh.Trimesh, *, steps: int = 5, seed: int = 0) -> Rig:
        """Joints of a mesh.

        Turning, mirroring, moving or scaling the mesh does the same to the joints.

        Raises:
            ValueError: for fewer than one step, or a mesh without area.
        """
        points, unit, centre, scale = self._read(mesh, seed)
        cloud = self.predict(unit, steps=steps, seed=seed)[0].cpu().double()
        placed = (cloud * scale[0] + centre[0]).numpy()
        joints = self.merge(placed, points)
        return Rig(joints, spanning_parents(joints), placed, steps)

    def disagreement(self, mesh: trimesh.Trimesh, *, steps: int = 5, seed: int = 0) -> float:
        """How far apart the joints of four noises are: a figure has its joints, whatever the noise.

        Takes as many evaluations as `rig`, of four clouds at once. Above `NO_FIGURE` the mesh is
        hardly one of those that the shipped rigger knows.

        Returns:
            Mean Chamfer distance of two clouds, for a surface of unit variance.

        Raises:
            ValueError: for fewer than one step, or a mesh without area.
        """
        _, unit, _, _ = self._read(mesh, seed)
        clouds = self.predict(unit.expand(_NOISES, -1, -1), steps=steps, seed=seed)
        pairs = itertools.combinations(clouds.cpu().double().numpy(), 2)
        return float(np.mean([chamfer_distance(a, b) for a, b in pairs]))

    def _read(
        self, mesh: trimesh.Trimesh, seed: int
    ) -> tuple[
        Float[np.ndarray, "n 3"],
        Float[Tensor, "1 n 3"],
        Float[Tensor, "1 1 3"],
        Float[Tensor, "1 1 1"],
    ]:
        """Surface points, the same at mean 0 and variance 1 for the network, centre and scale."""
        if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all() or not mesh.area > 0:
            raise ValueError("the mesh has no area, or vertices that are not finite")
        points, _ = trimesh.sample.sample_surface(mesh, self.config.num_points, seed=seed)
        # In float64 up to the network: a mesh may lie far from the origin.
        inside = torch.from_numpy(np.asarray(points)[None])
        centre, scale = standardise(inside)
        unit = ((inside - centre) / scale).to(next(self.flow_map.parameters()))
        return np.asarray(points), unit, centre, scale
