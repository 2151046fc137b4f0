"""Fewer triangles, and a closed mesh stays closed.

To a number of faces: quadric edge collapse that keeps the link condition, by libigl; within an
error: edge collapse of manifold3d. Meshes that are not closed go to fast-simplification, which
takes any triangles and promises nothing of them.

References: Garland & Heckbert, "Surface simplification using quadric error metrics", 1997; Dey et
al., "Topology preserving edge contraction", 1999.
"""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Float, Shaped

from geoflow.geometry.box import box_of

# Of the largest extent: below the grid's own error, and half of its triangles at 128³.
WITHIN = 5e-4
# What files keep of a coordinate, as a share of the longest half extent.
_DECIMALS = 6
# manifold3d collapses edges one after another: what they add up to stayed within twice its
# tolerance in every mesh measured.
_ADDED_UP = 2.0


def merge_equal(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The mesh as programs see it that merge equal vertices on reading.

    Vertices are equal at six decimals of the longest half extent, whatever the units.
    """
    _, half = box_of(np.asarray(mesh.vertices))
    keys = np.round(mesh.vertices / (half or 1.0), _DECIMALS)
    _, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    return trimesh.Trimesh(mesh.vertices[first], faces, process=False)


def is_solid(mesh: trimesh.Trimesh) -> bool:
    """Whether equal vertices can be merged and every edge is in two faces, none of them empty."""
    merged = merge_equal(mesh)
    return bool(merged.is_watertight and merged.is_winding_consistent and merged.area_faces.all())


def decimate(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """At most `faces` of any triangles, fast; a closed mesh may open."""
    if len(mesh.faces) <= faces:
        return mesh
    simple = mesh.simplify_quadric_decimation(face_count=faces)
    simple.metadata.update(mesh.metadata)
    return simple


def simplify_within(mesh: trimesh.Trimesh, share: float) -> trimesh.Trimesh:
    """As few triangles as within `share` of the largest extent; the mesh itself if not closed.

    Raises:
        ValueError: if the share is not positive.
    """
    import manifold3d

    if not share > 0.0:
        raise ValueError(f"share must be positive, got {share}")
    if not mesh.is_watertight:
        return mesh
    half = box_of(np.asarray(mesh.vertices))[1]
    solid = manifold3d.Manifold(
        manifold3d.Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32))
    )
    found = solid.simplify(2.0 * half * share / _ADDED_UP).to_mesh()
    simple = _replaced(mesh, found.vert_properties[:, :3], found.tri_verts)
    return simple if len(simple.faces) > 0 and is_solid(simple) else mesh


def collapse(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """A solid with as near to a number of faces as edges can be collapsed and topology kept."""
    import igl

    vertices, triangles, _, _ = igl.qslim(
        np.asfortranarray(mesh.vertices, np.float64),
        np.asfortranarray(mesh.faces, np.int32),
        faces,
    )
    return _replaced(mesh, vertices, triangles)


def _replaced(
    mesh: trimesh.Trimesh,
    vertices: Float[np.ndarray, "v 3"],
    faces: Shaped[np.ndarray, "f 3"],
) -> trimesh.Trimesh:
    """Another geometry with the metadata of a mesh."""
    return trimesh.Trimesh(
        np.asarray(vertices, np.float64),
        np.asarray(faces, np.int64),
        process=False,
        metadata=mesh.metadata,
    )
