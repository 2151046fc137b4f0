"""A trained generator: noise to latent tokens to a signed-distance field to a mesh."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.atomic import write_text
from geoflow.backbones import FieldAutoencoder, TokenTransformer
from geoflow.backbones.latent_scale import LatentScale
from geoflow.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from geoflow.config import ModelConfig, from_json, to_json
from geoflow.flow_map import FlowMap
from geoflow.geometry.extraction import Field, extract_mesh
from geoflow.geometry.mesh import remove_crumbs, simplify_mesh
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow.seeds import step_generator
from geoflow.symmetry import upright_frame
from geoflow.typing import Condition

WEIGHTS, CARD = "model.safetensors", "README.md"
# Queries of one decoder call: its activations stay in a core's cache.
_CHUNK = 8192
_NUM_SURFACE = 4096


def shipped_models() -> dict[str, Path]:
    """Folders of the models inside the package, by name."""
    root = Path(str(resources.files("geoflow") / "models"))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{WEIGHTS}"))}


@dataclass
class Generator:
    """Networks, their configuration, and the data card that travels with them."""

    autoencoder: FieldAutoencoder
    flow_map: FlowMap
    scale: LatentScale
    config: ModelConfig
    card: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def build(config: ModelConfig) -> Generator:
        """Networks with fresh weights."""
        size = config.autoencoder
        return Generator(
            FieldAutoencoder(size),
            FlowMap.build(
                TokenTransformer(config.transformer), config.interpolant, config.prediction
            ),
            LatentScale(size.num_tokens, size.scalars, size.vectors, size.frame_size),
            config,
        )

    @staticmethod
    def from_pretrained(name_or_folder: str | Path, *, device: str = "cpu") -> Generator:
        """A shipped model by name, or any folder that `save_pretrained` or a run wrote.

        Raises:
            CheckpointError: if there is no such model, or its files are damaged.
        """
        shipped = shipped_models()
        folder = shipped.get(str(name_or_folder), Path(name_or_folder))
        if not (folder / WEIGHTS).is_file() and (folder / "model" / WEIGHTS).is_file():
            folder = folder / "model"
        if not (folder / WEIGHTS).is_file():
            raise CheckpointError(
                f"no model {str(name_or_folder)!r}: expected a folder with {WEIGHTS}, "
                f"or one of the shipped models: {', '.join(shipped) or 'none'}"
            )
        tensors, card = load_checkpoint(folder / WEIGHTS)
        try:
            config = from_json(ModelConfig, card["model"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder / WEIGHTS} has no usable card: {error}") from error
        generator = Generator.build(config)
        generator.card = card.get("card", {})
        for prefix, module in generator._modules().items():
            load_weights(module, without_prefix(prefix, tensors), source=str(folder / WEIGHTS))
        return generator.to(device)

    def save_pretrained(self, folder: str | Path, *, half: bool = True) -> None:
        """Write weights, with configuration and card inside, and a readable card.

        Args:
            folder: created if missing.
            half: store network weights in float16; computation stays float32.
        """
        folder = Path(folder)
        tensors: dict[str, Tensor] = {}
        for prefix, module in self._modules().items():
            kept = {
                name: value.half() if half and prefix != "scale" else value
                for name, value in module.state_dict().items()
            }
            tensors |= with_prefix(prefix, kept)
        card = {"model": to_json(self.config), "card": self.card}
        save_checkpoint(folder / WEIGHTS, tensors, card)
        write_text(folder / "config.json", json.dumps(card, indent=2) + "\n")

    def to(self, device: str) -> Generator:
        """Move all networks; returns itself."""
        for module in self._modules().values():
            module.to(device).eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.autoencoder.parameters()).device

    def noise(self, num: int, *, seed: int = 0, first: int = 0) -> Float[Tensor, "b k c"]:
        """Unit noise of samples first..first+num-1; sample i is the same in any batch."""
        shape = (self.config.autoencoder.num_tokens, self.config.autoencoder.channels)
        return torch.stack(
            [
                torch.randn(shape, generator=step_generator(seed, "sample", first + i))
                for i in range(num)
            ]
        ).to(self.device)

    def sample_latents(
        self,
        noise: Float[Tensor, "b k c"],
        *,
        steps: int = 2,
        category: str | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
        ode: bool = False,
    ) -> Float[Tensor, "b k c"]:
        """Latent tokens from noise, in `steps` network evaluations.

        Args:
            noise: unit Gaussian.
            steps: applications of the flow map, or Euler steps of the ODE.
            category: a name of `config.categories`; default: the first.
            frame: where the samples stand; default: upright.
            ode: follow the ODE of the diagonal, as the many-step reference.

        Raises:
            ValueError: for an unknown category or steps < 1.
        """
        way = self.trajectory(noise, steps=steps, category=category, frame=frame, ode=ode)
        *_, last = way
        return last

    @torch.no_grad()
    def trajectory(
        self,
        noise: Float[Tensor, "b k c"],
        *,
        steps: int = 2,
        category: str | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
        ode: bool = False,
        times: Float[Tensor, " n"] | None = None,
    ) -> Iterator[Float[Tensor, "b k c"]]:
        """As `sample_latents`, the tokens at every time of the sampler's grid, noise first.

        Args:
            noise: unit Gaussian.
            steps: equal intervals of the grid; ignored where `times` is given.
            category: a name of `config.categories`; default: the first.
            frame: where the samples stand; default: upright.
            ode: follow the ODE of the diagonal.
            times: grid that rises to 1.

        Raises:
            ValueError: for an unknown category, steps < 1, or a grid that does not rise to 1.
        """
        condition = Condition(self.frame_for(len(noise), frame), self._category(category, noise))
        sampler = sample_ode if ode else sample_flow_map
        states = sampler(self.flow_map, noise, steps=steps, cond=condition, times=times)
        for state in states:
            yield self.scale.denormalise(state, condition.frame)

    def frame_for(
        self, num: int, frame: Float[Tensor, "b m 3"] | None = None
    ) -> Float[Tensor, "b m 3"] | None:
        """The given frame, or the upright one of this model's symmetry."""
        chosen = upright_frame(self.config.symmetry, num) if frame is None else frame
        return None if chosen is None else chosen.to(self.device)

    @torch.no_grad()
    def field(
        self,
        tokens: Float[Tensor, "k c"],
        *,
        frame: Float[Tensor, "m 3"] | None = None,
        check: Callable[[], None] | None = None,
    ) -> Field:
        """Signed distance of one shape, as a function of points (n, 3).

        Args:
            tokens: the latent.
            frame: where the shape stands; default: upright.
            check: called before every chunk of points; what it raises ends the work.
        """
        placed = self.frame_for(1, None if frame is None else frame[None])
        context = self.autoencoder.context(tokens[None], placed)

        @torch.no_grad()
        def distance(points: Tensor) -> Tensor:
            parts = []
            with _fast_matmul():
                for part in points.split(_CHUNK):
                    if check is not None:
                        check()
                    parts.append(
                        self.autoencoder.decode_with(context, part.to(self.device)[None])[0]
                    )
            return torch.cat(parts)

        return distance

    def decode(
        self,
        tokens: Float[Tensor, "k c"],
        *,
        resolution: int = 128,
        frame: Float[Tensor, "m 3"] | None = None,
        dense: bool = False,
        crumbs: float = 0.01,
        check: Callable[[], None] | None = None,
    ) -> trimesh.Trimesh:
        """Mesh of one latent; `metadata` holds the number of field queries.

        Args:
            tokens: the latent.
            resolution: cells of the extraction grid along an edge.
            frame: where the shape stands; default: upright.
            dense: evaluate the field on the whole grid.
            crumbs: components of less than this share of the volume are removed.
            check: called before every chunk of queries; what it raises ends the work.

        Raises:
            EmptySurfaceError: if the latent's field has no surface.
        """
        extraction = extract_mesh(
            self.field(tokens, frame=frame, check=check),
            resolution=resolution,
            method="dense" if dense else "hierarchical",
        )
        mesh = remove_crumbs(extraction.mesh, crumbs)
        mesh.metadata["field_queries"] = extraction.field_queries
        return mesh

    def sample(
        self,
        *,
        num: int = 1,
        steps: int = 2,
        seed: int = 0,
        resolution: int = 128,
        faces: int | None = None,
        category: str | None = None,
        frame: Float[Tensor, "m 3"] | None = None,
    ) -> list[trimesh.Trimesh]:
        """Meshes; each one's `metadata` has seed, nfe, field_queries and seconds."""
        return list(
            self.iterate(
                num=num,
                steps=steps,
                seed=seed,
                resolution=resolution,
                faces=faces,
                category=category,
                frame=frame,
            )
        )

    def iterate(
        self,
        *,
        num: int = 1,
        steps: int = 2,
        seed: int = 0,
        resolution: int = 128,
        faces: int | None = None,
        category: str | None = None,
        frame: Float[Tensor, "m 3"] | None = None,
    ) -> Iterator[trimesh.Trimesh]:
        """As `sample`, one mesh at a time, in the memory of one.

        Raises:
            ValueError: for num < 1 or any option out of range.
        """
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        for i in range(num):
            start = time.perf_counter()
            noise = self.noise(1, seed=seed, first=i)
            placed = None if frame is None else frame[None]
            tokens = self.sample_latents(noise, steps=steps, category=category, frame=placed)[0]
            mesh = self.decode(tokens, resolution=resolution, frame=frame)
            if faces is not None:
                mesh = simplify_mesh(mesh, faces)
            seconds = time.perf_counter() - start
            mesh.metadata.update(seed=seed, index=i, nfe=steps, seconds=seconds)
            yield mesh

    @torch.no_grad()
    def encode_mesh(self, mesh: trimesh.Trimesh, *, seed: int = 0) -> Float[Tensor, "k c"]:
        """Latent tokens of a mesh in normalised units, from points of its surface."""
        points, face = trimesh.sample.sample_surface(mesh, _NUM_SURFACE, seed=seed)
        surface = torch.from_numpy(np.asarray(points, np.float32))[None].to(self.device)
        normals = torch.from_numpy(np.asarray(mesh.face_normals[face], np.float32))[None]
        frame = self.frame_for(1)
        return self.autoencoder.encode(surface, normals.to(self.device), frame)[0]

    def _category(self, name: str | None, like: Tensor) -> Tensor:
        names = self.config.categories
        if name is not None and name not in names:
            raise ValueError(f"category must be one of {', '.join(names)}, got {name!r}")
        index = 0 if name is None else names.index(name)
        return torch.full((len(like),), index, dtype=torch.long, device=like.device)

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"autoencoder": self.autoencoder, "flow": self.flow_map, "scale": self.scale}


class _FastMatmul:
    """While any thread is inside, float32 products may be fast; the last one out restores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = ""

    @contextmanager
    def __call__(self) -> Iterator[None]:
        # On some CPUs the default float32 product is three times slower than the one that this
        # setting selects; where it rounds to bfloat16, surfaces move by less than a thousandth.
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_float32_matmul_precision()
                torch.set_float32_matmul_precision("medium")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    torch.set_float32_matmul_precision(self._before)


_fast_matmul = _FastMatmul()
