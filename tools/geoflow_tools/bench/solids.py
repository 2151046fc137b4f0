"""Whether meshes of a model are solids as their files have them, and what fewer triangles cost.

Every mesh is written by each suffix, read back by trimesh as it stands, and merged at six decimals;
then no edge may lack a face, no face area, and manifold3d must take it.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import trimesh

from geoflow import __version__
from geoflow.geometry.mesh import OUT_SUFFIXES, mesh_bytes, simplify_mesh
from geoflow.geometry.simplification import WITHIN, simplify_within
from geoflow.models.fields import Generator


def faults(mesh: trimesh.Trimesh, vertices: int | None = None) -> list[str]:
    """Why a mesh of about unit size is no solid after merging at six decimals; empty if it is.

    Args:
        mesh: as it is in memory, or as a file has it.
        vertices: how many places there are; by default one a vertex of the mesh.
    """
    import manifold3d

    keys, index = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    merged = trimesh.Trimesh(keys, index.reshape(-1)[mesh.faces], process=False)
    distinct = np.unique(np.sort(merged.faces, axis=1), axis=0)
    solid = manifold3d.Manifold(
        manifold3d.Mesh(keys.astype(np.float32), merged.faces.astype(np.uint32))
    )
    holds = {
        "two vertices at one place": len(keys) == (vertices or len(mesh.vertices)),
        "a face without area": bool((merged.area_faces > 0.0).all()),
        "a face twice": len(distinct) == len(mesh.faces),
        "an edge not in two faces": merged.is_watertight,
        "faces wound differently": merged.is_winding_consistent,
        f"manifold3d: {solid.status()}": solid.status() == manifold3d.Error.NoError,
    }
    return [fault for fault, held in holds.items() if not held]


def faults_in_files(mesh: trimesh.Trimesh) -> dict[str, list[str]]:
    """Faults of a mesh as a file of each suffix has it, where there are any."""
    found = {}
    for suffix in OUT_SUFFIXES:
        content = io.BytesIO(mesh_bytes(mesh, suffix))
        read = trimesh.load_mesh(content, file_type=suffix[1:], process=False)
        if wrong := faults(read, len(mesh.vertices)):
            found[suffix] = wrong
    return found


@dataclass(frozen=True)
class SolidsBenchmark:
    """Sample a model and count the meshes that are no solids."""

    model: str = "chair"
    """Shipped model, or a folder."""
    num: int = 400
    """Samples."""
    resolution: int = 64
    """Cells of the extraction grid along an edge."""
    steps: int = 2
    """Network evaluations per sample."""
    faces: tuple[int, ...] = ()
    """Numbers of faces to ask for of each sample too."""
    seed: int = 0
    """Of the noise."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """Samples with faults: as extracted, with triangles taken away by default, and by number.

        Faces and CPU seconds are medians.
        """
        wrong: dict[str, dict[int, object]] = defaultdict(dict)
        refused: dict[str, dict[int, str]] = defaultdict(dict)
        faces: dict[str, list[int]] = defaultdict(list)
        seconds: dict[str, list[float]] = defaultdict(list)
        model = Generator.from_pretrained(self.model)
        for index in range(self.num):
            for name, make in self._ways(model, index).items():
                start = process_time()
                try:
                    mesh = make()
                except ValueError as error:
                    refused[name][index] = str(error)
                    continue
                seconds[name].append(process_time() - start)
                faces[name].append(len(mesh.faces))
                if found := faults_in_files(mesh):
                    wrong[name][index] = found
        return {
            "geoflow": __version__,
            "model": self.model,
            "resolution": self.resolution,
            "samples": self.num,
            "checked": {name: len(counts) for name, counts in faces.items()},
            "no_solids": wrong,
            "refused": refused,
            "median_faces": {name: float(np.median(counts)) for name, counts in faces.items()},
            "median_seconds": {name: float(np.median(spent)) for name, spent in seconds.items()},
        }

    def _ways(self, model: Generator, index: int) -> dict[str, Callable[[], trimesh.Trimesh]]:
        noise = model.noise(1, seed=self.seed, first=index)
        tokens = model.sample_latents(noise, steps=self.steps)[0]
        full = model.decode(tokens, resolution=self.resolution)
        return {
            "full": lambda: full,
            "default": lambda: simplify_within(full, WITHIN),
        } | {str(number): partial(simplify_mesh, full, number) for number in self.faces}
