"""Whether a mesh bounds a solid, whether its edges are those of a surface, and its pieces.

Faces are compared by the indices of their vertices: a file's equal vertices must be merged before.
"""

from __future__ import annotations

import numpy as np
import trimesh


def is_watertight(mesh: trimesh.Trimesh) -> bool:
    """Whether every edge belongs to exactly two faces."""
    return len(mesh.faces) > 0 and bool((_faces_of_edges(mesh) == 2).all())


def is_edge_manifold(mesh: trimesh.Trimesh) -> bool:
    """Whether no edge belongs to more than two faces; an open border is allowed."""
    return len(mesh.faces) > 0 and bool((_faces_of_edges(mesh) <= 2).all())


def is_single_component(mesh: trimesh.Trimesh) -> bool:
    """Whether all vertices hang together by edges."""
    return count_components(mesh) == 1


def count_components(mesh: trimesh.Trimesh) -> int:
    """Number of parts; two that touch at one vertex are one."""
    return int(mesh.body_count)


def _faces_of_edges(mesh: trimesh.Trimesh) -> np.ndarray:
    _, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    return counts
