"""Surfaces through point clouds, by Open3D: Poisson reconstruction with estimated normals.

Reference: Kazhdan et al., "Poisson Surface Reconstruction", 2006; orientation of normals, Hoppe
et al., "Surface Reconstruction from Unorganized Points", 1992.
"""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Float

# Fewest points from which normals and a surface can be made out.
MIN_POINTS = 100
_NEIGHBOURS = 24


def reconstruct_surface(points: Float[np.ndarray, "n 3"], *, depth: int = 7) -> trimesh.Trimesh:
    """A closed surface near the points; thin parts thicken to about 2^-depth of the size.

    Args:
        points: of a closed surface, in any units.
        depth: of the octree; 7 resolves about a hundredth of the size.

    Raises:
        ValueError: for fewer than MIN_POINTS points.
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
    if mesh.is_watertight and mesh.volume < 0:
        mesh.invert()
    return mesh
