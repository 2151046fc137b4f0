"""Files of point clouds, read by suffix."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float

from geoflow.geometry.mesh import SUFFIXES as MESHES
from geoflow.geometry.points import SUFFIXES
from geoflow_datasets.files import files_in

__all__ = ["SUFFIXES", "clouds_and_meshes", "is_cloud", "is_cloud_folder", "read_cloud"]

# A header's end is sought in so many bytes.
_PLY_HEADER = 65_536


def read_cloud(path: Path) -> Float[np.ndarray, "n 3"]:
    """Points of a .ply, .xyz, .npy or .npz file; channels after the third are left out.

    .npz holds its points under the name `points`, or nothing else.

    Raises:
        ValueError: if the file cannot be read, is empty, has another shape or is not finite.
    """
    try:
        points = _read(path)
    except Exception as error:  # Readers of many formats fail in as many ways.
        raise ValueError(f"it cannot be read: {error}") from error
    if points.ndim != 2 or points.shape[1] < 3 or len(points) == 0:
        raise ValueError(f"expected points of shape (n, 3), n > 0, got {points.shape}")
    if points.dtype.kind not in "fiu":
        raise ValueError(f"expected numbers, got {points.dtype}")
    found = np.asarray(points[:, :3], dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError("its points must be finite, some are NaN or infinite")
    return found


def is_cloud(path: Path) -> bool:
    """Whether a file is one of points by its suffix, or a .ply file without faces by its header."""
    suffix = path.suffix.lower()
    if suffix != ".ply":
        return suffix in SUFFIXES
    try:
        with path.open("rb") as file:
            header = file.read(_PLY_HEADER).partition(b"end_header")[0]
    except OSError:
        # Whoever reads it refuses it by name.
        return False
    count = re.search(rb"element face (\d+)", header)
    return header.startswith(b"ply") and (count is None or int(count.group(1)) == 0)


def clouds_and_meshes(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder that hold clouds, and those that hold meshes, sorted."""
    files = files_in(folder)
    clouds = [path for path in files if path.suffix.lower() in SUFFIXES and is_cloud(path)]
    known = set(clouds)
    return clouds, [p for p in files if p.suffix.lower() in MESHES and p not in known]


def is_cloud_folder(folder: Path) -> bool:
    """Whether a folder holds clouds and no meshes: .npy, .npz, .xyz, or .ply without faces."""
    clouds, meshes = clouds_and_meshes(folder)
    return bool(clouds) and not meshes


def _read(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.asarray(np.load(path))
    if suffix == ".npz":
        with np.load(path) as arrays:
            names = list(arrays)
            if "points" not in names and len(names) != 1:
                raise ValueError(f"expected an array 'points', got {', '.join(names) or 'none'}")
            return np.asarray(arrays["points" if "points" in names else names[0]])
    if suffix == ".xyz":
        return np.loadtxt(path, dtype=np.float64, ndmin=2)
    cloud = trimesh.load(path)
    if not isinstance(cloud, trimesh.PointCloud | trimesh.Trimesh):
        raise ValueError("it holds no points")
    return np.asarray(cloud.vertices)
