"""What people reconstruct surfaces from points with: each a function of points and normals.

Normals that are not given are estimated and oriented as each library does it: Open3D's by planes
of 16 neighbours and a minimum spanning tree (Hoppe et al., 1992), MeshLab's by 10 neighbours. Radii
are multiples of the mean distance d to the nearest neighbour, as Open3D's manual has them.

References: Poisson, Kazhdan et al., 2006, and screened, Kazhdan & Hoppe, 2013; ball pivoting,
Bernardini et al., 1999; alpha shapes, Edelsbrunner & Mücke, 1994.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import trimesh
from jaxtyping import Float

Points: TypeAlias = Float[np.ndarray, "n 3"]
Reconstruct: TypeAlias = Callable[[Points, Points | None], trimesh.Trimesh | None]

_NEIGHBOURS, _MESHLAB_NEIGHBOURS = 16, 10
_DEPTH = 7
_BALLS = (1.0, 1.5, 2.0, 4.0)
_ALPHA = 2.5


def _poisson(points: Points, normals: Points | None) -> trimesh.Trimesh | None:
    import open3d

    surface, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        _cloud(points, normals), depth=_DEPTH, linear_fit=True, n_threads=1
    )
    return _mesh(surface)


def _ball_pivoting(points: Points, normals: Points | None) -> trimesh.Trimesh | None:
    import open3d

    radii = open3d.utility.DoubleVector([ball * _spacing(points) for ball in _BALLS])
    return _mesh(
        open3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(
            _cloud(points, normals), radii
        )
    )


def _alpha_shape(points: Points, normals: Points | None) -> trimesh.Trimesh | None:
    import open3d

    return _mesh(
        open3d.geometry.TriangleMesh.create_from_point_cloud_alpha_shape(
            open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points)),
            _ALPHA * _spacing(points),
        )
    )


def _screened_poisson(points: Points, normals: Points | None) -> trimesh.Trimesh | None:
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    if normals is None:
        meshes.add_mesh(pymeshlab.Mesh(points))
        meshes.compute_normal_for_point_clouds(k=_MESHLAB_NEIGHBOURS)
    else:
        meshes.add_mesh(pymeshlab.Mesh(points, v_normals_matrix=normals))
    meshes.generate_surface_reconstruction_screened_poisson(depth=_DEPTH, preclean=True, threads=1)
    found = meshes.current_mesh()
    return _closed_outward(found.vertex_matrix(), found.face_matrix())


RECONSTRUCTORS: dict[str, Reconstruct] = {
    "poisson": _poisson,
    "screened-poisson": _screened_poisson,
    "ball-pivoting": _ball_pivoting,
    "alpha-shape": _alpha_shape,
}
"""By name; None where nothing is made of the points."""
PACKAGES = {
    "poisson": "open3d",
    "screened-poisson": "pymeshlab",
    "ball-pivoting": "open3d",
    "alpha-shape": "open3d",
}
"""What each needs."""


def _cloud(points: Points, normals: Points | None) -> Any:
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    if normals is None:
        neighbours = min(_NEIGHBOURS, len(points) - 1)
        cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(neighbours))
        cloud.orient_normals_consistent_tangent_plane(neighbours)
    else:
        cloud.normals = open3d.utility.Vector3dVector(normals)
    return cloud


def _spacing(points: Points) -> float:
    from scipy.spatial import cKDTree

    return float(cKDTree(points).query(points, k=2)[0][:, 1].mean())


def _mesh(surface: Any) -> trimesh.Trimesh | None:
    return _closed_outward(np.asarray(surface.vertices), np.asarray(surface.triangles))


def _closed_outward(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh | None:
    """The mesh, turned as a whole: estimated normals may all point inward."""
    if not len(faces):
        return None
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    if not mesh.area > 0:
        return None
    if mesh.volume < 0:
        mesh.invert()
    return mesh
