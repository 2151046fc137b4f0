"""What generators of shapes have in common: a flow map of latent tokens, and what decodes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, overload

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones import TokenTransformer
from geoflow.backbones.latent_scale import LatentScale
from geoflow.condition import ANY, Condition, choices
from geoflow.flow_map import FlowMap
from geoflow.geometry.mesh import normalise_mesh, placement
from geoflow.models.base import Model
from geoflow.models.finite import finite
from geoflow.samplers import (
    sample_consistency,
    sample_flow_map,
    sample_ode,
    without_gradient,
)
from geoflow.seeds import step_generator
from geoflow.symmetry import turn_to, upright_frame

A = TypeVar("A", bound=nn.Module)
G = TypeVar("G", bound="LatentGenerator[Any]")
MAX_GUIDANCE = 8.0
"""Largest weight of a category."""
# Of the categories, among the tensors of the flow map.
_EMBEDDINGS = "backbone.condition.category.weight"
Shape: TypeAlias = trimesh.Trimesh | trimesh.PointCloud
Check: TypeAlias = Callable[[], None]
"""Called between chunks of work; what it raises ends the work."""


class Detail(NamedTuple):
    """How fine shapes are made; each kind reads what concerns it."""

    resolution: int = 128
    """Cells of the extraction grid of a mesh along an edge."""
    points: int = 2048
    """Points of a cloud."""
    join: float | None = None
    """Level at which parts of a mesh are joined; None: the model's default."""


def check_guidance(guidance: float, *, guided: bool) -> None:
    """Refuse a weight of the category that a flow map cannot be given.

    Raises:
        ValueError: for one out of range, or a flow map that was trained without.
    """
    if not guided:
        raise ValueError("this model was trained without guidance: leave it out")
    if not 1.0 <= guidance <= MAX_GUIDANCE:
        raise ValueError(f"guidance must be from 1 to {MAX_GUIDANCE:g}, got {guidance}")


@dataclass
class LatentGenerator(Model, Generic[A]):
    """Networks, their configuration, and the card that travels with them."""

    autoencoder: A
    flow_map: FlowMap
    scale: LatentScale
    config: Any
    card: dict[str, Any] = field(default_factory=dict)
    half = True
    num_encoded = 4096
    """Points that `encode_mesh` reads."""

    @classmethod
    def build(cls: type[G], config: Any) -> G:
        """Networks with fresh weights.

        Raises:
            ValueError: for an unknown interpolant or prediction.
        """
        size = config.autoencoder
        return cls(
            cls.build_autoencoder(config),
            FlowMap(TokenTransformer(config.transformer), config.interpolant, config.prediction),
            LatentScale(size.num_tokens, size.scalars, size.vectors, size.frame_size),
            config,
        )

    @staticmethod
    @abstractmethod
    def build_autoencoder(config: Any) -> Any:
        """The autoencoder of this kind, with fresh weights."""

    @abstractmethod
    def shapes(
        self,
        tokens: Float[Tensor, "b k c"],
        detail: Detail = Detail(),  # noqa: B008
        *,
        steps: int = 2,
        seed: int = 0,
        first: int = 0,
        ode: bool = False,
    ) -> Sequence[Shape | None]:
        """Meshes or clouds of latents, upright; None where a latent has no shape.

        Args:
            tokens: the latents.
            detail: how fine.
            steps: network evaluations for what is drawn given the latent.
            seed: seed of what is drawn given the latent.
            first: number of the first sample of the seed.
            ode: follow the ODE there, too.
        """

    @abstractmethod
    def encode_points(
        self, points: Float[Tensor, "b n 3"], normals: Float[Tensor, "b n 3"] | None
    ) -> Float[Tensor, "b k c"]:
        """Latents of upright surfaces; a kind whose encoder reads no normals leaves them out."""

    def encode_mesh_points(
        self, points: Float[Tensor, "b n 3"], normals: Float[Tensor, "b n 3"]
    ) -> Float[Tensor, "b k c"]:
        """Latents of points of meshes, which are clean: as `encode_points`, or better."""
        return self.encode_points(points, normals)

    @property
    def categories(self) -> tuple[str, ...]:
        """Names that a sample can be asked for."""
        names: tuple[str, ...] = self.config.categories
        return names

    @property
    def choices(self) -> tuple[str, ...]:
        """What a sample can be asked to be, the default first: any thing, too, where it may be."""
        return choices(self.categories, guided=self.config.transformer.guided)

    def modules(self) -> dict[str, nn.Module]:
        """All networks by the prefix of their tensors."""
        return {"autoencoder": self.autoencoder, "flow": self.flow_map, "scale": self.scale}

    def starting(self: G, config: Any) -> G:
        """This model for the categories of a configuration.

        A name that it knows keeps its embedding; a new one starts from the mean of all.
        """
        known, names = self.categories, config.categories
        if names == known:
            return self
        made = type(self).build(self.config.with_categories(names))
        made.card = self.card
        for prefix, module in self.modules().items():
            state = module.state_dict()
            if prefix == "flow":
                rows = dict(zip(known, state[_EMBEDDINGS], strict=True))
                mean = state[_EMBEDDINGS].mean(0)
                state[_EMBEDDINGS] = torch.stack([rows.get(name, mean) for name in names])
            made.modules()[prefix].load_state_dict(state)
        return made

    def noise(
        self,
        num: int,
        *,
        seed: int = 0,
        first: int = 0,
        frame: Float[Tensor, "b m 3"] | None = None,
    ) -> Float[Tensor, "b k c"]:
        """Unit noise of samples first..first+num-1; sample i is the same in any batch.

        Args:
            num: samples.
            seed: of the noise.
            first: number of the first sample of the seed.
            frame: its vectors turn along, so that the sample is the upright one, turned.

        Raises:
            ValueError: for a frame that is not orthonormal.
        """
        size = self.config.autoencoder
        drawn = [
            torch.randn(
                size.num_tokens, size.channels, generator=step_generator(seed, "sample", first + i)
            )
            for i in range(num)
        ]
        tokens = torch.stack(drawn).to(self.device)
        if frame is None:
            return tokens
        vectors = tokens[..., size.scalars :].unflatten(-1, (size.vectors, 3))
        turned = vectors @ turn_to(frame.to(tokens))[:, None]
        return torch.cat([tokens[..., : size.scalars], turned.flatten(-2)], dim=-1)

    def condition(
        self,
        num: int,
        *,
        category: str | None = None,
        guidance: float | None = None,
        points: Float[Tensor, "b k c"] | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
    ) -> Condition:
        """What samples are given, from words: the one place that knows what a model can be asked.

        Args:
            num: samples.
            category: one of `choices`; default: the first.
            guidance: weight of the category, at least 1, for a flow map trained with it.
            points: latents of points that the samples go through, for a flow map that reads them.
            frame: where the samples stand; default: upright.

        Raises:
            ValueError: for an unknown category, or guidance or points that the flow map was not
                trained with.
        """
        network = self.config.transformer
        if category is not None and category not in self.choices:
            raise ValueError(f"category must be one of {', '.join(self.choices)}, got {category!r}")
        index = self.categories.index(category) if category in self.categories else ANY
        if category is None and not network.guided:
            index = 0
        weight = None
        if guidance is not None:
            check_guidance(guidance, guided=network.guided)
            weight = torch.full((num,), float(guidance))
        chosen = upright_frame(self.config.symmetry, num) if frame is None else frame
        cond = Condition(chosen, torch.full((num,), index), guidance=weight).to(self.device)
        if points is None:
            return cond
        if not network.points:
            raise ValueError("this model's flow map was trained without points: leave them out")
        return replace(cond, tokens=self.scale.normalise(points, cond.frame))

    def frame_for(
        self, num: int, frame: Float[Tensor, "b m 3"] | None = None
    ) -> Float[Tensor, "b m 3"] | None:
        """The given frame, or the upright one of this model's symmetry."""
        return self.condition(num, frame=frame).frame

    def check_generates(self) -> None:
        """Raise ValueError for a model that makes no samples; those of most kinds do."""

    def sample_latents(
        self,
        noise: Float[Tensor, "b k c"],
        cond: Condition | None = None,
        *,
        steps: int = 2,
        ode: bool = False,
    ) -> Float[Tensor, "b k c"]:
        """Latent tokens from noise, in `steps` network evaluations.

        Args:
            noise: unit Gaussian.
            cond: as `condition` makes it; default: upright samples of the first category.
            steps: applications of the flow map, or Euler steps of the ODE.
            ode: follow the ODE of the diagonal, as the many-step reference.

        Raises:
            ValueError: for steps < 1.
            FloatingPointError: for latents that are not finite.
        """
        *_, last = self.trajectory(noise, cond, steps=steps, ode=ode)
        return finite(last, "numbers of its latents")

    def trajectory(
        self,
        noise: Float[Tensor, "b k c"],
        cond: Condition | None = None,
        *,
        steps: int = 2,
        ode: bool = False,
        times: Float[Tensor, " n"] | None = None,
        other: Float[Tensor, "b k c"] | None = None,
    ) -> Iterator[Float[Tensor, "b k c"]]:
        """As `sample_latents`, the tokens at every time of the sampler's grid, noise first.

        Where samples start again (`LatentConfig.restarts`), all but the noise are latents, as they
        are so far.

        Args:
            noise: unit Gaussian.
            cond: as `condition` makes it; default: upright samples of the first category.
            steps: jumps; ignored where `times` is given.
            ode: follow the ODE of the diagonal.
            times: grid that rises to 1; default: that of the configuration, for the ODE one of
                equal intervals.
            other: unit Gaussian, of which later starts are made, of a sample that does not begin
                with noise; default: `noise`.

        Raises:
            ValueError: for steps < 1, a grid that does not rise to 1, or a model without samples.
        """
        self.check_generates()
        cond = self.condition(len(noise)) if cond is None else cond
        if not ode and other is None:
            noise = self.heated(noise, cond)
        way = self.states(
            self.flow_map, noise, cond, steps=steps, ode=ode, times=times, other=other
        )
        for state in without_gradient(way):
            yield self.scale.denormalise(state, cond.frame)

    def heated(self, noise: Float[Tensor, "b k c"], cond: Condition) -> Float[Tensor, "b k c"]:
        """Unit noise at the configuration's temperature, but that of samples through points."""
        if cond.tokens is None:
            return self.config.temperature * noise
        bound = cond.tokens.flatten(1).any(1)[:, None, None]
        return torch.where(bound, noise, self.config.temperature * noise)

    def states(
        self,
        flow_map: FlowMap,
        noise: Float[Tensor, "b k c"],
        cond: Condition,
        *,
        steps: int = 2,
        ode: bool = False,
        times: Float[Tensor, " n"] | None = None,
        other: Float[Tensor, "b k c"] | None = None,
    ) -> Iterator[Float[Tensor, "b k c"]]:
        """As `trajectory`, of any flow map, from noise as it is, and in the scale that it reads.

        A later start mixes the latents with `turned` noise.
        """
        if ode:
            return sample_ode(flow_map, noise, steps=steps, cond=cond, times=times)
        times = self.config.grid(steps) if times is None else times
        if not self.config.restarts:
            return sample_flow_map(flow_map, noise, cond=cond, times=times)
        source, num = noise if other is None else other, len(times) - 1
        return sample_consistency(
            flow_map, noise, cond=cond, times=times, fresh=lambda jump: turned(source, jump, num)
        )

    @overload
    def encode_mesh(
        self, mesh: trimesh.Trimesh, *, seed: int = 0, return_transform: Literal[False] = False
    ) -> Float[Tensor, "k c"]: ...
    @overload
    def encode_mesh(
        self, mesh: trimesh.Trimesh, *, seed: int = 0, return_transform: Literal[True]
    ) -> tuple[Float[Tensor, "k c"], Float[np.ndarray, "4 4"]]: ...
    @torch.no_grad()
    def encode_mesh(
        self, mesh: trimesh.Trimesh, *, seed: int = 0, return_transform: bool = False
    ) -> Float[Tensor, "k c"] | tuple[Float[Tensor, "k c"], Float[np.ndarray, "4 4"]]:
        """Latent tokens of a mesh, from points of its surface.

        The mesh may have any place and size: it is centred, and its longest half extent made 1.

        Args:
            mesh: upright; +Y is up.
            seed: seed of the points.
            return_transform: give the transform, too, that takes the normalised shape back to the
                place and size of the mesh: `decode(tokens).apply_transform(transform)`.

        Raises:
            ValueError: if the mesh is empty, flat to a point, or not finite.
        """
        unit = normalise_mesh(mesh)
        points, face = trimesh.sample.sample_surface(unit, self.num_encoded, seed=seed)
        surface, normals = (
            torch.from_numpy(np.asarray(values, np.float32))[None].to(self.device)
            for values in (points, unit.face_normals[face])
        )
        tokens = self.encode_mesh_points(surface, normals)[0]
        return (tokens, placement(mesh)) if return_transform else tokens


def turned(noise: Float[Tensor, "b k c"], jump: int, num: int) -> Float[Tensor, "b k c"]:
    """Noise for the start of a jump, numbered from 1, of `num`: that of other tokens.

    Independent of each token's own, as fresh noise would be, and yet samples stay a function of
    their noise alone, and turn with their frame.
    """
    return noise.roll(max(jump * noise.shape[1] // num, 1), dims=1)
