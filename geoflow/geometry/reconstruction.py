"""Surfaces through point clouds, by Open3D: Poisson reconstruction with estimated normals, trimmed.

Where normals cannot be oriented, as at thin wings, Poisson's closed surface balloons between the
points; what is far from every point is cut away, and the surface is open there.

Reference: Kazhdan et al., "Poisson Surface Reconstruction", 2006; orientation of normals, Hoppe
et al., "Surface Reconstruction from Unorganized Points", 1992.
"""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree

# Fewest points from which normals and a surface can be made out.
MIN_POINTS = 100
_NEIGHBOURS = 24
# A surface is far from the points beyond so many cells of the octree, or distances between points.
_FAR = 4.0
# Least share of the points that the surface must pass.
_LEAST_COVERED = 0.9


def reconstruct_surface(points: Float[np.ndarray, "n 3"], *, depth: int = 7) -> trimesh.Trimesh:
    """A surface near the points, closed unless what is far from all of them had to be cut away.

    Thin parts thicken to about 2^-depth of the size.

    Args:
        points: of a closed surface, in any units.
        depth: of the octree; 7 resolves about a hundredth of the size.

    Raises:
        ValueError: for fewer than MIN_POINTS points, or if the surface misses many of them.
        ImportError: if Open3D does not load; the message says what to install.
    """
    if len(points) < MIN_POINTS:
        raise ValueError(f"a surface needs at least {MIN_POINTS} points, got {len(points)}")
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise ImportError(
            f"surfaces of point clouds need Open3D, which does not load ({error}): install the "
            "extra with pip install 'geoflow[viewer]', and on Debian: apt-get install libgl1 "
            "libusb-1.0-0; or write .ply, .xyz, .npy or .npz"
        ) from error
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.asarray(points, float)))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(_NEIGHBOURS))
    cloud.orient_normals_consistent_tangent_plane(_NEIGHBOURS)
    surface, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        cloud, depth=depth, linear_fit=True, n_threads=1
    )
    mesh = trimesh.Trimesh(np.asarray(surface.vertices), np.asarray(surface.triangles))
    mesh = trim_surface(mesh, np.asarray(points, float), np.ptp(points, axis=0).max() / 2**depth)
    if mesh.is_watertight and mesh.volume < 0:
        mesh.invert()
    return mesh


def trim_surface(
    mesh: trimesh.Trimesh, points: Float[np.ndarray, "n 3"], cell: float
) -> trimesh.Trimesh:
    """The mesh without faces that are far from every point."""
    tree = cKDTree(points)
    spacing = float(np.median(tree.query(points, k=2)[0][:, 1]))
    far = _FAR * max(cell, spacing)
    near = (tree.query(mesh.vertices)[0] <= far)[mesh.faces].all(1)
    covered = 0.0
    if near.any():
        if not near.all():
            mesh = mesh.copy()
            mesh.update_faces(near)
            mesh.remove_unreferenced_vertices()
        covered = float(np.mean(cKDTree(mesh.vertices).query(points)[0] <= far))
    if covered < _LEAST_COVERED:
        raise ValueError(
            f"a surface through the points passes {100 * covered:.0f} % of them, expected "
            f"{100 * _LEAST_COVERED:.0f} %: write .ply, .xyz, .npy or .npz, or ask for more points"
        )
    return mesh
