"""A trained generator of meshes: noise to latent tokens to a signed-distance field to a mesh."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.backbones import FieldAutoencoder
from geoflow.geometry.extraction import Field, extract_mesh
from geoflow.geometry.mesh import remove_crumbs, simplify_mesh
from geoflow.models.config import ModelConfig, Representation
from geoflow.models.latent import LatentGenerator

# Queries of one decoder call: its activations stay in a core's cache.
_CHUNK = 4096
_NUM_SURFACE = 4096


@dataclass
class Generator(LatentGenerator[FieldAutoencoder]):
    """A generator of meshes, by signed distance fields."""

    representation: ClassVar[Representation] = "sdf"

    @staticmethod
    def build_autoencoder(config: ModelConfig) -> FieldAutoencoder:
        """The autoencoder of fields, with fresh weights."""
        return FieldAutoencoder(config.autoencoder)

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
