"""Files of shapes, meshes or clouds of points, read as points of one number."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
import trimesh

from geoflow.geometry.axes import points_from_up
from geoflow.geometry.mesh import SUFFIXES as MESH_SUFFIXES
from geoflow.geometry.read_mesh import read_mesh
from geoflow.geometry.read_points import SUFFIXES as POINTS_SUFFIXES
from geoflow.geometry.read_points import is_cloud, read_points
from geoflow_datasets.files import files_in

SUFFIXES = tuple(dict.fromkeys(MESH_SUFFIXES + POINTS_SUFFIXES))
Shape: TypeAlias = trimesh.Trimesh | np.ndarray


def list_shapes(folder: Path) -> list[Path]:
    """The files of a folder that hold shapes, by name, at any depth.

    Raises:
        ValueError: if the folder does not exist.
    """
    if not folder.is_dir():
        raise ValueError(f"expected a folder of shapes, got {str(folder)!r}")
    return [path for path in files_in(folder) if path.suffix.lower() in SUFFIXES]


def choose_shapes(folder: Path, num: int, *, seed: int) -> tuple[list[Path], list[Path]]:
    """`num` files of a folder, drawn without replacement where there are more, and the others.

    The others are in random order: they stand in for files that are refused.

    Raises:
        ValueError: if there are fewer.
    """
    found = list_shapes(folder)
    if len(found) < num:
        raise ValueError(
            f"--num asks for {num} shapes, {folder} holds {len(found)} "
            f"({', '.join(SUFFIXES)}): give at most --num {len(found)}, or more files"
        )
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[i] for i in sorted(order[:num])], [found[i] for i in order[num:]]


def fingerprint(files: list[Path]) -> str:
    """Digest of names, sizes and times: other files, another digest."""
    digest = hashlib.sha256()
    for path in files:
        entry = path.stat()
        digest.update(os.fsencode(f"{path.name} {entry.st_size} {entry.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def read_shape(path: Path, up: str = "y") -> Shape:
    """A mesh, or points (n, 3), +Y up, from a file in which `up` points up.

    Channels after the third are left out. .npz holds its points under the name `points`, or
    nothing else.

    Raises:
        ValueError: naming the file, if it cannot be read, is empty or not finite.
    """
    try:
        if is_cloud(path):
            return points_from_up(read_points(path).points, up)
        mesh = read_mesh(path, up=up)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not np.isfinite(mesh.vertices).all():
        raise ValueError(f"{path}: its vertices must be finite, some are NaN or infinite")
    if not mesh.area > 0:
        raise ValueError(f"{path}: the mesh has no area")
    return mesh


def draw_points(shape: Shape, num: int, *, seed: int, source: str) -> np.ndarray:
    """`num` points (num, 3) in random order: of a mesh uniform by area, of a cloud a subset.

    Raises:
        ValueError: naming the source, if a cloud has fewer points.
    """
    if isinstance(shape, trimesh.Trimesh):
        points, _ = trimesh.sample.sample_surface(shape, num, seed=seed)
        return np.asarray(points, dtype=np.float64)
    if len(shape) < num:
        raise ValueError(f"{source}: expected at least {num} points (--points), got {len(shape)}")
    return shape[np.random.default_rng(seed).permutation(len(shape))[:num]]
