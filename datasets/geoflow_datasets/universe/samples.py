"""Points of a closed mesh: its surface, and exact signed distances around it."""

from __future__ import annotations

import numpy as np

from geoflow_datasets.made import Samples
from geoflow_datasets.mesh_light import mesh_areas
from geoflow_datasets.mesh_parts import winding
from geoflow_datasets.queries import sample_queries
from geoflow_datasets.universe.forms import Array, Solid


class EmptySolidError(ValueError):
    """A drawn solid has no volume."""


def corners_of(solid: Solid) -> Array:
    """Triangles (f, 3, 3), the box centred and the longest half extent 1.

    Raises:
        EmptySolidError: if nothing is left of the solid.
    """
    mesh = solid.to_mesh64()
    vertices, faces = np.asarray(mesh.vert_properties)[:, :3], np.asarray(mesh.tri_verts)
    if not len(faces) or not np.isfinite(vertices).all():
        raise EmptySolidError("nothing is left of it")
    low, high = vertices.min(0), vertices.max(0)
    half = float((high - low).max()) / 2
    corners: Array = ((vertices - (low + high) / 2) / half)[faces.astype(np.int64)]
    return corners[mesh_areas(corners) > 1e-14]


def sample_triangles(
    corners: Array, num_surface: int, num_queries: int, rng: np.random.Generator
) -> Samples:
    """Samples of a closed surface, faces counter-clockwise.

    The distance is exact everywhere, inside too: that to the triangles, negative where their
    winding number is above one half.
    """
    areas = mesh_areas(corners)
    face = rng.choice(len(areas), num_surface, p=areas / areas.sum())
    root, along = np.sqrt(rng.random(num_surface)), rng.random(num_surface)
    weights = np.stack([1 - root, root * (1 - along), root * along], -1)
    surface = (weights[:, :, None] * corners[face]).sum(1).astype(np.float16)
    a, b, c = (corners[face, i] for i in range(3))
    normals = np.cross(b - a, c - a) / (2 * areas[face, None])
    queries = sample_queries(surface.astype(np.float64), num_queries, rng)
    sdf = signed_distance(corners, queries.astype(np.float64))
    return Samples(surface, normals.astype(np.float16), queries, sdf.astype(np.float16))


def signed_distance(corners: Array, points: Array) -> Array:
    """Distance to triangles (f, 3, 3), negative where their winding number is above one half."""
    import point_cloud_utils as pcu

    vertices = np.ascontiguousarray(corners.reshape(-1, 3))
    faces = np.arange(len(vertices)).reshape(-1, 3)
    # point-cloud-utils misreads a single point (as of 0.34), so that one is asked for twice.
    asked = np.ascontiguousarray(np.repeat(points, 2, 0) if len(points) == 1 else points)
    distance = pcu.closest_points_on_mesh(asked, vertices, faces)[0][: len(points)]
    return np.asarray(np.where(winding(vertices, faces, points) > 0.5, -distance, distance))
