"""Content of a .ply file as trimesh reads it right: vertices and triangles, and nothing else.

Format: Greg Turk, "The PLY polygon file format", 1994.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from geoflow.geometry.claims import Prepared, claim_of
from geoflow.geometry.ply_header import check_ply_counts
from geoflow.geometry.polygons import check_corners, corners_of, triangulate_polygons

_NAMES = {
    "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint",
    "f4": "float", "f8": "double",
}  # fmt: skip
_CORNERS = ("vertex_indices", "vertex_index")
# Pictures are named in comments. Other comments may hold words that trimesh takes for the header's.
_PICTURE = "TextureFile"
_STRIPS = "tristrips"


def prepare_ply(content: bytes) -> Prepared:
    """The vertices and triangles of a file, and its claim; clouds as they are.

    Raises:
        ValueError: if the file contradicts itself, or its faces have no corners.
    """
    import plyfile

    content = content.removeprefix(b"\xef\xbb\xbf")
    check_ply_counts(content, len(content))
    with warnings.catch_warnings():
        # An empty list of a text is none to worry about.
        warnings.filterwarnings("ignore", "loadtxt: input contained no data", UserWarning)
        if b"format ascii" in content[:1024]:
            return _of_ply(plyfile.PlyData.read(BytesIO(content)), content)
    # From a file, plyfile maps lists of one length, and says where one has another.
    lists = dict.fromkeys(_CORNERS, 3) | {"texcoord": 6}
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            data = plyfile.PlyData.read(file, known_list_len={"face": lists})
        except plyfile.PlyElementParseError:
            data = plyfile.PlyData.read(BytesIO(content))
        return _of_ply(data, content)


def _of_ply(data: Any, content: bytes) -> Prepared:
    if _STRIPS in data and data[_STRIPS].count:
        raise ValueError(f"its triangles are strips ({_STRIPS}): export them as faces")
    if "face" not in data or "vertex" not in data or not data["face"].count:
        return content, []
    vertex, face = data["vertex"], data["face"]
    points = np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1)
    names = face.data.dtype.names
    name = next((n for n in _CORNERS if n in names), None)
    if name is None:
        raise ValueError(f"its faces have no vertex_indices, they have {', '.join(names)}")
    if np.dtype(getattr(face.ply_property(name), "val_dtype", "f4")).kind not in "iu":
        raise ValueError(f"its {name} are not lists of integers")
    polygons, rows = face[name], face.data
    if polygons.dtype.kind != "O" and polygons.shape[1] == 3:
        faces = polygons.astype(np.int64)
        check_corners(points, faces.reshape(-1))
    else:
        polygons = [[int(i) for i in polygon] for polygon in polygons]
        triangles, sources = triangulate_polygons(points, polygons)
        faces, rows = corners_of(polygons, triangles, sources), rows[sources]
    pictures = [text for text in data.comments if text.startswith(_PICTURE)]
    elements = {
        "vertex": _columns(vertex.data),
        "face": _columns(rows) | {name: faces.astype(np.int32)},
    }
    return _written(elements, pictures), [claim_of(points, faces)]


def _columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of one length each; lists of many lengths say nothing of the shape."""
    names = rows.dtype.names or ()
    return {name: rows[name] for name in names if rows[name].dtype.kind != "O"}


def _written(elements: Mapping[str, Mapping[str, np.ndarray]], comments: list[str]) -> bytes:
    """A binary PLY of elements by their columns, those with two dimensions as lists."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    bodies = []
    for element, columns in elements.items():
        count = len(next(iter(columns.values())))
        lines.append(f"element {element} {count}")
        fields: list[tuple[Any, ...]] = []
        for name, column in columns.items():
            kind = column.dtype.str[1:]
            if column.ndim == 2:
                lines.append(f"property list uchar {_NAMES[kind]} {name}")
                fields.append((f"length of {name}", "<u1"))
            else:
                lines.append(f"property {_NAMES[kind]} {name}")
            fields.append((name, f"<{kind}", column.shape[1:]))
        body = np.empty(count, fields)
        for name, column in columns.items():
            if column.ndim == 2:
                body[f"length of {name}"] = column.shape[1]
            body[name] = column
        bodies.append(body.tobytes())
    return "\n".join([*lines, "end_header", ""]).encode() + b"".join(bodies)
