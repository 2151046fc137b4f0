"""Meshes and clouds."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import laspy
import numpy as np
import trimesh
from fuzz.reader import Reader, finite
from gltf_files import gltf_parts
from pypcd4 import Encoding, PointCloud

from geoflow.geometry.mesh import SUFFIXES, normalise_mesh, write_mesh
from geoflow.geometry.points import SUFFIXES as WRITTEN
from geoflow.geometry.points import write_points
from geoflow.geometry.read_mesh import read_mesh
from geoflow.geometry.read_points import read_points

POINTS = np.random.default_rng(0).random((20, 3)).astype(np.float32)


def a_mesh(suffix: str) -> Reader:
    def write(folder: Path) -> None:
        mesh = trimesh.creation.icosphere(subdivisions=1)
        mesh.visual.vertex_colors = np.random.default_rng(0).integers(0, 255, (42, 4), np.uint8)
        if suffix == ".gltf":
            (folder / "a.gltf").write_bytes(gltf_parts(mesh)[0])
        else:
            write_mesh(mesh, folder / f"a{suffix}")

    def read(folder: Path) -> None:
        mesh = read_mesh(folder / f"a{suffix}")
        finite(normalise_mesh(mesh).vertices)
        finite(mesh.area)
        trimesh.sample.sample_surface(mesh, 8, seed=0)

    return Reader(write, read)


def a_cloud(suffix: str) -> Reader:
    return Reader(
        lambda folder: write_points([POINTS], folder / f"a{suffix}", num=20),
        lambda folder: finite(read_points(folder / f"a{suffix}").points),
    )


def a_pcd(encoding: Encoding) -> Reader:
    return Reader(
        lambda folder: PointCloud.from_xyz_points(POINTS).save(folder / "a.pcd", encoding),
        lambda folder: finite(read_points(folder / "a.pcd").points),
    )


def a_las(suffix: str) -> Reader:
    def write(folder: Path) -> None:
        made = laspy.create(point_format=0, file_version="1.2")
        made.xyz = POINTS.astype(float)
        made.write(folder / f"a{suffix}")

    return Reader(write, lambda folder: finite(read_points(folder / f"a{suffix}").points))


OF_SHAPES = {
    **{f"mesh {suffix}": partial(a_mesh, suffix) for suffix in SUFFIXES},
    **{f"cloud {suffix}": partial(a_cloud, suffix) for suffix in WRITTEN},
    **{f"cloud .pcd {way.value}": partial(a_pcd, way) for way in Encoding},
    **{f"cloud {suffix}": partial(a_las, suffix) for suffix in (".las", ".laz")},
}
