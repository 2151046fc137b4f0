"""The one reader of meshes: every command, source of data and viewer reads a file alike.

Parts are joined and equal vertices merged, whatever normals or textures they carry: a cube whose
faces have their own normals is one closed cube, not six sheets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trimesh
from trimesh.resolvers import FilePathResolver

from geoflow.geometry.axes import check_up, turn_from_up


class MeshError(ValueError):
    """A file or its mesh cannot be used; the message is the reason."""


def read_mesh(path: str | Path, *, up: str = "y") -> trimesh.Trimesh:
    """One mesh from a file, +Y up, its parts joined and equal vertices merged.

    Args:
        path: a file whose suffix says its format; its materials lie beside it.
        up: axis that points up in the file, "y" or "z".

    Raises:
        MeshError: if the file cannot be opened, or no reader understands it.
        ValueError: if `up` is neither "y" nor "z".
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MeshError(f"it cannot be read as a mesh: {error}") from error
    return _read(content, path.suffix, FilePathResolver(str(path)), up)


def read_mesh_bytes(content: bytes, suffix: str, *, up: str = "y") -> trimesh.Trimesh:
    """As `read_mesh`, from the content of a file, such as an upload.

    Args:
        content: the whole file; what lies beside it is not there.
        suffix: its format, as ".obj".
        up: axis that points up in the file, "y" or "z".

    Raises:
        MeshError: if no reader understands the content.
        ValueError: if `up` is neither "y" nor "z".
    """
    return _read(content, suffix, None, up)


def _read(content: bytes, suffix: str, resolver: Any, up: str) -> trimesh.Trimesh:
    check_up(up)
    kind = suffix.lower().removeprefix(".")
    try:
        stream = trimesh.util.wrap_as_stream(_with_modelnet_header(content, kind))
        mesh = trimesh.load_mesh(stream, file_type=kind, resolver=resolver)
        if not isinstance(mesh, trimesh.Trimesh):
            raise MeshError("it holds no triangles")
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
    except Exception as error:  # Readers of many formats fail in as many ways.
        raise MeshError(f"it cannot be read as a mesh: {error}") from error
    return turn_from_up(mesh, up) if up != "y" else mesh


def _with_modelnet_header(content: bytes, kind: str) -> bytes | str:
    """OFF as text, its counts on a line of their own, where ModelNet has them on the first."""
    if kind != "off":
        return content
    text = content.decode(errors="replace").replace("\r\n", "\n")
    first, _, rest = text.partition("\n")
    if first.startswith("OFF") and first.strip() != "OFF":
        return f"OFF\n{first[3:].strip()}\n{rest}"
    return text
