"""Mesh files and clean-up: normalise, simplify, write by suffix, summarise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float
from trimesh.visual import ColorVisuals

from geoflow.atomic import write_bytes
from geoflow.geometry.box import box_of

SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".off")
MIN_FACES = 16


@dataclass(frozen=True)
class Summary:
    """What a user asks of a mesh first."""

    faces: int
    is_watertight: bool
    components: int
    volume: float


def summarise(mesh: trimesh.Trimesh) -> Summary:
    """Faces, watertightness, connected components, and volume in cubic units of the mesh."""
    return Summary(
        len(mesh.faces), bool(mesh.is_watertight), int(mesh.body_count), float(mesh.volume)
    )


def normalise_mesh(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A copy with its bounding box centred and its longest half extent 1.

    Raises:
        ValueError: if the mesh is empty, flat to a point, or not finite.
    """
    if len(mesh.vertices) == 0 or not np.isfinite(mesh.vertices).all():
        raise ValueError("the mesh has no vertices, or vertices that are not finite")
    centre, half = box_of(np.asarray(mesh.vertices))
    if not half > 0:
        raise ValueError("the mesh has no extent")
    copy = mesh.copy()
    copy.vertices = (mesh.vertices - centre) / half
    return copy


def placement(mesh: trimesh.Trimesh) -> Float[np.ndarray, "4 4"]:
    """The transform from normalised units to the mesh's own: what `normalise_mesh` takes away."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    transform = np.diag([*[(high - low).max() / 2] * 3, 1.0])
    transform[:3, 3] = (low + high) / 2
    return transform


def remove_crumbs(mesh: trimesh.Trimesh, share: float) -> trimesh.Trimesh:
    """The mesh without closed components of less than `share` of its volume; at best the mesh.

    Raises:
        ValueError: if the share is not in [0, 1).
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share must be in [0, 1), got {share}")
    labels = trimesh.graph.connected_component_labels(mesh.face_adjacency, len(mesh.faces))
    if labels.max() == 0:
        return mesh
    corners = mesh.triangles
    # A closed component's volume is the sum of its faces' tetrahedra with any one point.
    tetrahedra = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum(-1) / 6
    volume = np.abs(np.bincount(labels, weights=tetrahedra))
    kept = volume >= share * volume.sum()
    if kept.all():
        return mesh
    clean = mesh.copy()
    clean.update_faces(kept[labels])
    clean.remove_unreferenced_vertices()
    return clean


def simplify_mesh(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """At most `faces` triangles by quadric decimation; the mesh itself where it has fewer.

    Raises:
        ValueError: if faces < 16.
    """
    if faces < MIN_FACES:
        raise ValueError(f"faces must be at least {MIN_FACES}, got {faces}")
    if len(mesh.faces) <= faces:
        return mesh
    simple = mesh.simplify_quadric_decimation(face_count=faces)
    simple.metadata.update(mesh.metadata)
    return simple


def join_meshes(meshes: Sequence[trimesh.Trimesh]) -> trimesh.Trimesh:
    """All meshes as one, each where it is."""
    whole = trimesh.util.concatenate(list(meshes))
    assert isinstance(whole, trimesh.Trimesh)
    return whole


def vertex_colours(mesh: trimesh.Trimesh) -> Float[np.ndarray, "v 3"] | None:
    """Red, green and blue of the vertices in [0, 1]; None where they have none of their own."""
    visual = mesh.visual
    if not isinstance(visual, ColorVisuals) or visual.kind != "vertex":
        return None
    return np.asarray(visual.vertex_colors)[:, :3] / 255.0


def mesh_bytes(mesh: trimesh.Trimesh, suffix: str) -> bytes:
    """The content of a mesh file of a suffix."""
    content = mesh.export(file_type=suffix[1:])
    assert isinstance(content, str | bytes)
    return content.encode() if isinstance(content, str) else content


def check_suffix(path: Path) -> str:
    """The file's suffix in lower case.

    Raises:
        ValueError: if no mesh format has it.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"suffix must be one of {', '.join(SUFFIXES)}, got {path.name!r}")
    return suffix


def write_mesh(mesh: trimesh.Trimesh, path: Path) -> None:
    """Write by suffix; the file appears whole or keeps its old content.

    Raises:
        ValueError: for an unknown suffix.
        FloatingPointError: for vertices that are not finite.
        OSError: if the folder does not exist or cannot be written.
    """
    suffix = check_suffix(path)
    broken = int((~np.isfinite(mesh.vertices)).any(axis=1).sum())
    if broken:
        raise FloatingPointError(
            f"{broken:,} of {len(mesh.vertices):,} vertices are not finite: no file is written"
        )
    # Bytes first: some exporters add a .mtl beside an .obj when they are given a path.
    write_bytes(path, mesh_bytes(mesh, suffix))
