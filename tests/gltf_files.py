"""Meshes as .gltf files, which trimesh writes as several files of names of its own."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import trimesh

from geoflow.geometry.gltf_buffers import split_glb


def gltf_parts(mesh: trimesh.Trimesh, uri: str | None = None) -> tuple[bytes, bytes]:
    """Text and data of a mesh; the text names the data, or holds it where no name is given."""
    mesh = mesh.copy()
    # It would be written into the text.
    mesh.metadata.clear()
    header, data = split_glb(mesh.export(file_type="glb"))
    assert data is not None
    held = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    header["buffers"][0]["uri"] = uri or held
    return json.dumps(header).encode(), data


def write_gltf(mesh: trimesh.Trimesh, path: Path) -> None:
    """A .gltf and a .bin beside it."""
    data = path.with_suffix(".bin")
    text, binary = gltf_parts(mesh, data.name)
    path.write_bytes(text)
    data.write_bytes(binary)
