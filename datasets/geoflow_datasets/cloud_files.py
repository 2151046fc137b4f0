"""Which files of a folder hold clouds of points, and which meshes."""

from __future__ import annotations

from pathlib import Path

from geoflow.geometry.mesh import SUFFIXES as MESHES
from geoflow.geometry.read_points import SUFFIXES, is_cloud
from geoflow_datasets.files import files_in


def clouds_and_meshes(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder that hold clouds, and those that hold meshes, sorted."""
    files = files_in(folder)
    clouds = [path for path in files if path.suffix.lower() in SUFFIXES and is_cloud(path)]
    known = set(clouds)
    return clouds, [p for p in files if p.suffix.lower() in MESHES and p not in known]


def is_cloud_folder(folder: Path) -> bool:
    """Whether a folder holds clouds and no meshes."""
    clouds, meshes = clouds_and_meshes(folder)
    return bool(clouds) and not meshes
