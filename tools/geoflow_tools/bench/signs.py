"""Whether signs of meshes are right: against two tests that know nothing of how they were found.

A point is inside by parity where almost all of many rays from it cross the surface an odd number of
times, and inside by visibility where none of them reaches the outside. Outside it almost all cross
evenly, and more get out than through a crack. Only points where both say the same are judged: a
hollow that nothing reaches, or an open part, has no answer that both give. What a few more rays
might overturn is asked with many. Rays are Open3D's (Embree).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from geoflow import __version__
from geoflow.geometry.mesh import SUFFIXES, normalise_mesh
from geoflow.geometry.read_mesh import read_mesh
from geoflow_datasets.layouts import ALL, find_files
from geoflow_datasets.mesh_sdf import THICKNESS, SignedMesh, sign_mesh

# Rays from each point, and from those that these do not settle.
_DIRECTIONS, _MANY = 48, 256
_ROUNDS = 1000
# More than that share crosses alike; less of the sky than that is seen through a crack, and so much
# of it in the open.
_SURE, _CRACK, _OPEN = 0.9, 0.02, 0.1
_VOLUME_POINTS, _SURFACE_POINTS = 20_000, 1500
_GRID, _BOUND = 128, 1.05


@dataclass(frozen=True)
class Judged:
    """One mesh; shares are of points where both tests agree.

    A crash is an error that is no refusal, which names its reason.

    `right` is of the solid before thin parts are thickened; `right_distance` is of the signed
    distance at points further from the surface than half the thickness. The volumes are shares of
    the mesh's box, before and after. Lost is the share of surface without a point inside on a
    grid of 128 cells within two cells.
    """

    name: str
    refused: str | None = None
    crash: str | None = None
    method: str | None = None
    points: int = 0
    inside: int = 0
    right: float | None = None
    right_distance: float | None = None
    volume: float | None = None
    target_volume: float | None = None
    lost: float | None = None
    cavities: int = 0
    unclear: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class SignsBenchmark:
    """Sign every mesh of a folder and judge the signs by ray parity and visibility."""

    data: Path
    """Folder of meshes."""
    points: int = 10_000
    """Least number of points to judge a mesh by."""
    most: int | None = None
    """At most this many meshes, drawn at random."""
    thickness: float = THICKNESS
    """Least thickness of parts."""
    seed: int = 0
    """Of the points, and of the directions of the rays."""
    records: Path | None = None
    """File of JSON lines, one added for each mesh that is judged; those in it are not judged again,
    whatever their points and seed.
    The order is random, so that those of a run that was cut short are a fair sample."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """What became of each mesh, and shares over all."""
        files = find_files(self.data, ALL, suffixes=SUFFIXES, kind="meshes")
        files = [files[i] for i in np.random.default_rng(0).permutation(len(files))][: self.most]
        known = self._recorded()
        judged = [known.get(self._name(path)) or self._judge(path) for path in files]
        taken = [mesh for mesh in judged if mesh.refused is None and mesh.crash is None]
        scored = [mesh for mesh in taken if mesh.points]
        points = sum(mesh.points for mesh in scored)

        def share(key: str) -> float | None:
            return sum(getattr(m, key) * m.points for m in scored) / points if points else None

        ratios = [m.target_volume / m.volume for m in taken if m.target_volume and m.volume]
        return {
            "geoflow": __version__,
            "meshes": len(judged),
            "refused": {mesh.name: mesh.refused for mesh in judged if mesh.refused is not None},
            "crashed": {mesh.name: mesh.crash for mesh in judged if mesh.crash is not None},
            "methods": dict(Counter(mesh.method for mesh in taken)),
            "points": points,
            "right": share("right"),
            "right_distance": share("right_distance"),
            "more_than_3_percent_wrong": [m.name for m in scored if (m.right or 0.0) < 0.97],
            "fewer_points_than_asked": [m.name for m in taken if m.points < self.points],
            "volume_ratio_quantiles_50_90": np.quantile(ratios, [0.5, 0.9]).tolist()
            if ratios
            else None,
            "surface_lost_more_than_1_percent": [m.name for m in taken if (m.lost or 0.0) > 0.01],
            "each": [asdict(mesh) for mesh in judged],
        }

    def _name(self, path: Path) -> str:
        return path.relative_to(self.data).as_posix()

    def _recorded(self) -> dict[str, Judged]:
        if self.records is None or not self.records.exists():
            return {}
        found = [Judged(**json.loads(line)) for line in self.records.read_text().splitlines()]
        return {mesh.name: mesh for mesh in found}

    def _judge(self, path: Path) -> Judged:
        try:
            judged = self._measured(path)
        except ValueError as error:
            judged = Judged(self._name(path), refused=str(error))
        except Exception as error:  # One crash is counted, and the others are judged.
            judged = Judged(self._name(path), crash=repr(error))
        if self.records is not None:
            with self.records.open("a") as file:
                file.write(json.dumps(asdict(judged)) + "\n")
        return judged

    def _measured(self, path: Path) -> Judged:
        start = time.perf_counter()
        mesh = normalise_mesh(read_mesh(path))
        signed = sign_mesh(mesh, thickness=self.thickness)
        seconds = time.perf_counter() - start
        rng = np.random.default_rng(self.seed)
        points, truth, away = _agreed(mesh, self.points, rng)
        inside = signed.inside(points) if len(points) else truth
        far = away > self.thickness / 2 + 1e-3
        told = signed.distance(points[far]) < 0 if far.any() else truth[far]
        box = _in_box(mesh, _VOLUME_POINTS, rng)
        return Judged(
            self._name(path),
            method=signed.method,
            points=len(points),
            inside=int(truth.sum()),
            right=float(np.mean(inside == truth)) if len(points) else None,
            right_distance=float(np.mean(told == truth[far])) if far.any() else 1.0,
            volume=float(signed.inside(box).mean()),
            target_volume=float((signed.distance(box) < 0).mean()),
            lost=_lost(signed),
            cavities=signed.parts.num_cavities,
            unclear=signed.unclear_fraction,
            seconds=seconds,
        )


def parity_and_visibility(
    mesh: trimesh.Trimesh, rng: np.random.Generator
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """A function of points: 1 inside, -1 outside, 0 unsure, by each test; and the distance."""
    import open3d

    # A face that is there twice is crossed once or twice, as rounding has it.
    faces = np.asarray(mesh.faces)[mesh.unique_faces()]
    scene: Any = open3d.t.geometry.RaycastingScene(nthreads=2)
    scene.add_triangles(np.asarray(mesh.vertices, dtype=np.float32), faces.astype(np.uint32))
    directions = rng.normal(size=(_MANY, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)

    def shares(points: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
        """Of rays in so many directions, those that cross oddly often, and those that get out."""
        rays = np.empty((len(points), num, 6), dtype=np.float32)
        rays[..., :3], rays[..., 3:] = points[:, None], directions[:num]
        counts = scene.count_intersections(rays).numpy()
        return (counts % 2).mean(1), (counts == 0).mean(1)

    def test(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        odd, free = shares(points, _DIRECTIONS)
        agreed = np.where(odd > 0.5, (odd > _SURE) & (free == 0), (odd < 1 - _SURE) & (free > 0))
        # Other rays may reach the outside from what seems inside, or find a surface around.
        doubt = agreed & ~((odd == 0) & (free > _OPEN))
        odd[doubt], free[doubt] = shares(points[doubt], _MANY)
        parity = np.where(odd > _SURE, 1, np.where(odd < 1 - _SURE, -1, 0))
        visibility = np.where(free == 0, 1, np.where(free > _CRACK, -1, 0))
        return parity, visibility, scene.compute_distance(points.astype(np.float32)).numpy()

    return test


def _agreed(
    mesh: trimesh.Trimesh, least: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, half of them next to the surface, where both tests agree; and whether inside."""
    test = parity_and_visibility(mesh, rng)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for _ in range(_ROUNDS):
        surface, face = trimesh.sample.sample_surface(
            mesh, least // 2, seed=int(rng.integers(2**31))
        )
        off = rng.normal(scale=0.02, size=(len(surface), 1)) * mesh.face_normals[face]
        points = np.concatenate([surface + off, _in_box(mesh, least // 2, rng)])
        parity, visibility, away = test(points)
        # Nearer than that, single precision decides.
        sure = (parity * visibility > 0) & (away > 1e-4)
        found.append((points[sure], parity[sure] > 0, away[sure]))
        if sum(len(entry[0]) for entry in found) >= least:
            break
    points, inside, away = (np.concatenate(column) for column in zip(*found, strict=True))
    return points, inside, away


def _in_box(mesh: trimesh.Trimesh, num: int, rng: np.random.Generator) -> np.ndarray:
    low, high = np.asarray(mesh.bounds, dtype=np.float64)
    return np.asarray(low + (high - low) * rng.random((num, 3)))


def _lost(signed: SignedMesh) -> float:
    spacing = 2 * _BOUND / _GRID
    surface, _ = trimesh.sample.sample_surface(signed.body.mesh(), _SURFACE_POINTS, seed=0)
    base = np.rint((surface + _BOUND) / spacing)
    around = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    cells = np.unique((base[:, None] + around).reshape(-1, 3), axis=0)
    grid = cells * spacing - _BOUND
    inner = grid[signed.distance(grid) < 0]
    if len(inner) == 0:
        return 1.0
    return float(np.mean(cKDTree(inner).query(surface)[0] > 2 * spacing))
