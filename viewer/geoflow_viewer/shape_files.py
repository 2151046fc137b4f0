"""Shapes as the content of files, by suffix: meshes, and points with their channels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float

from geoflow.geometry.mesh import OUT_SUFFIXES as MESH_SUFFIXES
from geoflow.geometry.mesh import join_meshes, mesh_bytes
from geoflow.geometry.points import SUFFIXES as POINT_SUFFIXES
from geoflow.geometry.points import write_points
from geoflow.geometry.reconstruction import reconstruct_surface
from geoflow_viewer.items import Item, Result
from geoflow_viewer.scene import SPACING

SHAPE_SUFFIXES = tuple(dict.fromkeys([*MESH_SUFFIXES, *POINT_SUFFIXES]))


def shape_suffixes(result: Result) -> tuple[str, ...]:
    """Suffixes of the files that these shapes can become."""
    return SHAPE_SUFFIXES if _are_clouds(result) else MESH_SUFFIXES


def shape_bytes(result: Result, suffix: str) -> bytes:
    """The content of a file with all shapes, side by side.

    Clouds become points, or, by a suffix of meshes alone, surfaces through the points.

    Raises:
        ValueError: for a suffix of points alone where there are meshes.
        RuntimeError: for a surface of points without Open3D.
    """
    if suffix in POINT_SUFFIXES and _are_clouds(result):
        return _points(result, suffix)
    if suffix not in MESH_SUFFIXES:
        raise ValueError(f"meshes are written as {', '.join(MESH_SUFFIXES)}, got {suffix!r}")
    meshes = [mesh for mesh in map(_mesh, result.items) if mesh is not None]
    if len(meshes) == 1:
        whole = meshes[0]
    else:
        whole = join_meshes(
            [mesh.copy().apply_translation([SPACING * i, 0, 0]) for i, mesh in enumerate(meshes)]
        )
    return mesh_bytes(whole, suffix)


def _are_clouds(result: Result) -> bool:
    shapes = [item for item in result.items if not item.is_empty]
    return all(item.mesh is None for item in shapes)


def _mesh(item: Item) -> trimesh.Trimesh | None:
    if item.cloud is None or item.mesh is not None:
        return item.mesh
    try:
        return reconstruct_surface(item.cloud[:, :3].astype(np.float64))
    except ImportError as error:
        raise RuntimeError(str(error)) from error


def _points(result: Result, suffix: str) -> bytes:
    clouds = [item.cloud for item in result.items if item.cloud is not None]
    channels = next(item.channels for item in result.items if item.cloud is not None)

    def chunks() -> Iterator[Float[np.ndarray, "n c"]]:
        for i, cloud in enumerate(clouds):
            yield cloud + np.eye(cloud.shape[1], dtype=np.float32)[0] * np.float32(SPACING * i)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"points{suffix}")
        write_points(chunks(), path, num=sum(map(len, clouds)), channels=channels)
        return path.read_bytes()
