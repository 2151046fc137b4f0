"""What a mesh file holds, and what training would make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from geoflow.geometry.mesh import aspect_quantiles
from geoflow.geometry.metrics import METRICS
from geoflow.geometry.read_mesh import read_mesh
from geoflow_datasets.mesh_folder import MESHES, MeshOptions

# Points that are signed to see whether a mesh is refused; its numbers need no more.
_FEW = 1024
# Share of the volume of a ball of the same area, and less, that is rounding.
_FLAT = 1e-9


@dataclass(frozen=True)
class Inspection:
    """A file: refused with a reason, or read and signed; lengths are in the file's own units."""

    file: str
    refused: str | None = None
    vertices: int | None = None
    faces: int | None = None
    parts: int | None = None
    """Sets of faces that hang together by edges."""
    extents: tuple[float, ...] | None = None
    area: float | None = None
    volume: float | None = None
    """By the faces' orientation; of an open surface it means little."""
    watertight: bool | None = None
    manifold: bool | None = None
    """Whether no edge has more than two faces."""
    winding_consistent: bool | None = None
    """Whether faces that share an edge go round it in opposite directions."""
    inward_parts: int | None = None
    """Closed parts that face inward and are no cavity of another."""
    hidden_cavities: int | None = None
    """Closed parts that face inward inside another: nothing outside reaches them."""
    aspect: tuple[float, float] | None = None
    """Of the triangles, 1 of equilateral ones: the median, and what 99 % are below."""
    missing: tuple[str, ...] = ()
    """Files, such as pictures, that it names and that cannot be read; its shape needs none."""
    signed: Mapping[str, Any] | None = None
    """What a training report says of it: the method and its fractions."""


def inspect_mesh(path: Path, *, up: str = "y") -> Inspection:
    """Read a file, measure it, and sign it as training does.

    Args:
        path: of the file.
        up: axis that points up in it, "y" or "z".

    Raises:
        ValueError: if `up` is neither "y" nor "z".
    """
    options = MeshOptions(up, num_surface=_FEW, num_queries=_FEW)
    try:
        mesh = read_mesh(path, up=up)
    except ValueError as error:
        return Inspection(str(path), refused=str(error))
    inward, hidden = _inward_parts(mesh)
    found: dict[str, Any] = {
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "parts": len(_parts(mesh)),
        "extents": tuple(float(x) for x in mesh.extents),
        "area": float(mesh.area),
        "volume": _volume(mesh),
        "watertight": bool(mesh.is_watertight),
        "manifold": bool(METRICS["edge_manifold"](mesh)),
        "winding_consistent": bool(mesh.is_winding_consistent),
        "inward_parts": inward,
        "hidden_cavities": hidden,
        "aspect": aspect_quantiles(mesh) if mesh.area > 0.0 else None,
        "missing": mesh.metadata["missing"],
    }
    try:
        details, _ = MESHES.process(path, options, np.random.default_rng(0))
    except Exception as error:  # As in the preparation of folders, whatever is wrong is a refusal.
        return Inspection(str(path), refused=str(error), **found)
    return Inspection(str(path), **found, signed=dict(details))


def _parts(mesh: trimesh.Trimesh) -> list[np.ndarray]:
    faces = np.arange(len(mesh.faces))
    found = trimesh.graph.connected_components(mesh.face_adjacency, nodes=faces, min_len=1)
    return [np.asarray(part) for part in found]


def _volume(mesh: trimesh.Trimesh) -> float:
    """As trimesh's, which warns where it is zero."""
    a, b, c = (mesh.triangles - mesh.bounds.mean(axis=0)).transpose(1, 0, 2)
    return float((np.cross(a, b) * c).sum() / 6)


def _inward_parts(mesh: trimesh.Trimesh) -> tuple[int, int]:
    """How many closed parts face inward outside and inside those that face outward."""
    import point_cloud_utils as pcu

    outward: list[np.ndarray] = []
    inward: list[np.ndarray] = []
    for part in _parts(mesh):
        faces = np.asarray(mesh.faces)[part]
        shape = trimesh.Trimesh(mesh.vertices, faces, process=False)
        if shape.is_watertight and shape.is_winding_consistent:
            volume = _volume(shape)
            # Of two sides that lie on each other neither is outside.
            if abs(volume) > _FLAT * shape.area**1.5:
                (outward if volume > 0 else inward).append(faces)
    if not inward or not outward:
        return len(inward), 0
    probes = np.ascontiguousarray([mesh.vertices[faces[0]].mean(axis=0) for faces in inward])
    winding = pcu.triangle_soup_fast_winding_number(
        np.ascontiguousarray(mesh.vertices, dtype=np.float64),
        np.ascontiguousarray(np.concatenate(outward), dtype=np.int64),
        # point-cloud-utils misreads a single point (as of 0.34).
        np.repeat(probes, 2, axis=0),
    )
    hidden = int(np.count_nonzero(winding[::2] > 0.5))
    return len(inward) - hidden, hidden
