"""Mesh files and clean-up: normalise, simplify, write by suffix and size, summarise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial

from geoflow.atomic import write_bytes
from geoflow.geometry.box import box_of
from geoflow.geometry.simplification import collapse, decimate, is_solid, merge_equal

# What is read, and what is written.
SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".gltf", ".off")
OUT_SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".off", ".3mf")
MIN_FACES = 16
# Of a length unit in millimetres; and of the one unit that a format names, where it names one.
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}
_UNIT_OF_SUFFIX = {".glb": "m"}
# A plain surface: light grey, no metal.
_MATERIAL = PBRMaterial(
    baseColorFactor=[200, 200, 200, 255], metallicFactor=0.0, roughnessFactor=0.7
)


@dataclass(frozen=True)
class Summary:
    """What a user asks of a mesh first."""

    faces: int
    is_watertight: bool
    components: int
    volume: float
    aspect: tuple[float, float]
    """Of the triangles: the median, and what 99 % are below."""


def summarise(mesh: trimesh.Trimesh) -> Summary:
    """Faces, watertightness, connected components, and volume in cubic units of the mesh.

    Counted when equal vertices are merged, as programs do that read its file.
    """
    mesh = merge_equal(mesh)
    return Summary(
        len(mesh.faces),
        bool(mesh.is_watertight),
        int(mesh.body_count),
        _volume(mesh),
        aspect_quantiles(mesh),
    )


def _volume(mesh: trimesh.Trimesh) -> float:
    """`mesh.volume`, without the moments of inertia that trimesh integrates with it."""
    heights = mesh.triangles[:, :, 0].sum(1)
    return float((mesh.triangles_cross[:, 0] * heights).sum() / 6)


def aspect_quantiles(mesh: trimesh.Trimesh) -> tuple[float, float]:
    """Of the triangles that have area: the median aspect, and what 99 % are below.

    A triangle's aspect is its longest edge over 2 sqrt(3) inradii, 1 of an equilateral one; it is
    infinite where none has area.
    """
    corners = np.asarray(mesh.triangles)[mesh.area_faces > 0.0]
    if len(corners) == 0:
        return np.inf, np.inf
    edges = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    # The inradius is the area over half of the circumference.
    inradius = 2.0 * trimesh.triangles.area(corners) / edges.sum(1)
    aspects = edges.max(1) / (2.0 * 3.0**0.5 * inradius)
    median, most = np.quantile(aspects, [0.5, 0.99])
    return float(median), float(most)


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
    """At most `faces` triangles; the mesh itself where it has fewer. A closed one stays closed.

    Raises:
        ValueError: if faces < 16, or if a closed mesh would have to open, lose a handle or a part:
            the message has the least number.
    """
    if faces < MIN_FACES:
        raise ValueError(f"faces must be at least {MIN_FACES}, got {faces}")
    if len(mesh.faces) <= faces:
        return mesh
    if not is_solid(mesh):
        return decimate(mesh, faces)
    simple = collapse(mesh, faces)
    if len(simple.faces) <= faces and is_solid(simple):
        return simple
    least = max(len(simple.faces), faces + 1)
    while least < len(mesh.faces) and not is_solid(collapse(mesh, least)):
        least *= 2
    raise ValueError(
        f"faces must be at least {min(least, len(mesh.faces))} for this mesh to stay closed with "
        f"all its handles and parts, got {faces}: ask for more, or keep all"
    )


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


def parse_size(text: str) -> float:
    """Millimetres of a length such as 100mm, 10cm, 0.1m or 4in.

    Raises:
        ValueError: if it is no positive number with one of these units.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(mm|cm|m|in)\s*", text)
    if found is None or not float(found[1]) > 0.0:
        raise ValueError(f"a size must be a length in mm, cm, m or in, such as 100mm, got {text!r}")
    return float(found[1]) * _MILLIMETRES[found[2]]


def resize_mesh(mesh: trimesh.Trimesh, millimetres: float, suffix: str) -> trimesh.Trimesh:
    """A copy whose largest extent is a length in the unit of a file format.

    Metres in glTF, as its specification says; millimetres elsewhere, which 3MF names and
    programs take in STL.
    """
    unit = _MILLIMETRES[_UNIT_OF_SUFFIX.get(suffix, "mm")]
    copy = mesh.copy()
    copy.apply_scale(millimetres / unit / float(mesh.extents.max()))
    return copy


def mesh_bytes(mesh: trimesh.Trimesh, suffix: str) -> bytes:
    """The content of a mesh file of a suffix; .glb has smooth normals, and a material."""
    plain = isinstance(mesh.visual, ColorVisuals) and not mesh.visual.defined
    if suffix == ".obj" and plain:
        return _obj_bytes(mesh)
    if suffix == ".glb":
        content = with_material(mesh).export(file_type="glb", include_normals=True)
    else:
        content = mesh.export(file_type=suffix[1:])
    assert isinstance(content, str | bytes)
    return content.encode() if isinstance(content, str) else content


def with_material(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The mesh as a .glb shows it: in its own colours, or in a plain material."""
    if not isinstance(mesh.visual, ColorVisuals) or mesh.visual.defined:
        return mesh
    return trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        visual=TextureVisuals(material=_MATERIAL),
        metadata=mesh.metadata,
        process=False,
    )


def _obj_bytes(mesh: trimesh.Trimesh) -> bytes:
    """Vertices and faces in one formatting each: 3.6 times as fast as trimesh's exporter."""
    vertices = "v %.9g %.9g %.9g\n" * len(mesh.vertices) % tuple(mesh.vertices.ravel().tolist())
    faces = "f %d %d %d\n" * len(mesh.faces) % tuple((mesh.faces + 1).ravel().tolist())
    return (vertices + faces).encode()


def check_suffix(path: Path) -> str:
    """The file's suffix in lower case.

    Raises:
        ValueError: if no mesh format has it.
    """
    suffix = path.suffix.lower()
    if suffix not in OUT_SUFFIXES:
        raise ValueError(f"suffix must be one of {', '.join(OUT_SUFFIXES)}, got {path.name!r}")
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
