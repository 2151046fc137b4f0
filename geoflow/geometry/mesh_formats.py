"""What a mesh file says of itself, and its content as trimesh reads it right.

Polygons become triangles (trimesh lays fans), relative indices absolute, and what lies behind the
last triangle of an STL goes. The claim is what must have come in the end.
"""

from __future__ import annotations

import json
import re
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Int64

from geoflow.geometry.ply_header import check_ply_counts
from geoflow.geometry.polygons import corners_of, triangulate_polygons

_STL_HEADER, _STL_TRIANGLE = 84, 50


@dataclass(frozen=True)
class Claim:
    """What a file says of one part, or of all it holds; None where it says nothing."""

    faces: int | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    scale: float = 1.0
    """What one unit of the stored integers is worth."""
    compressed: str | None = None
    """By what the part is compressed, to say so if it cannot be decoded."""


Prepared = tuple[bytes, list[Claim]]


def prepare(content: bytes, kind: str) -> Prepared:
    """Content that trimesh reads right, and the claims of its parts, or of the whole.

    Args:
        content: of the file.
        kind: the suffix in lower case without its dot.

    Raises:
        ValueError: if the file contradicts itself, or needs what cannot be read.
    """
    if kind not in _FORMATS:
        return content, []
    return _FORMATS[kind](content)


def _claim(vertices: np.ndarray, faces: np.ndarray) -> Claim:
    known = np.unique(faces[(faces >= 0) & (faces < len(vertices))])
    used = vertices[known]
    if not len(used) or not np.isfinite(used).all():
        return Claim(len(faces))
    return Claim(len(faces), tuple(used.min(axis=0)), tuple(used.max(axis=0)))


def _text(content: bytes) -> str:
    # Names of materials may be in any encoding; latin-1 takes every byte and gives it back.
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


# Faces that trimesh reads right: at a line's start, three corners, counted from the file's start.
_PLAIN_FACE = re.compile(r"^f(?:[ \t]+[\d/]+){3}[ \t]*$", re.MULTILINE)
_ANY_FACE = re.compile(r"^\s*fo?\s", re.MULTILINE)
# trimesh takes vertex 0 for the last one.
_ZERO = re.compile(r"^[ \t]*fo?[ \t](?:[^\n#]*[ \t])?0+(?:/|\s|\Z)", re.MULTILINE)
_VERTEX = re.compile(r"^\s*v[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE)


def _obj(content: bytes) -> Prepared:
    text = _text(content).replace("\r\n", "\n").replace("\r", "\n").replace("\\\n", " ")
    if _ZERO.search(text):
        raise ValueError("a face names vertex 0, and vertices of an OBJ are counted from 1")
    plain = len(_PLAIN_FACE.findall(text))
    if plain == len(_ANY_FACE.findall(text)):
        points = np.array(_VERTEX.findall(text), dtype=np.float64).reshape(-1, 3)
        finite = points[np.isfinite(points).all(axis=1)]
        return text.encode(), [replace(_claim(finite, np.arange(len(finite))), faces=plain)]
    lines: list[str] = []
    vertices: list[list[float]] = []
    faces: list[list[list[str]]] = []
    places: list[int] = []
    counts = {"v": 0, "vt": 0, "vn": 0}
    for raw in text.split("\n"):
        words = raw.partition("#")[0].split() if raw.lstrip()[:1] in ("v", "f") else []
        key = words[0] if words else ""
        if key in counts:
            counts[key] += 1
            if key == "v":
                vertices.append([float(word) for word in words[1:4]])
            lines.append(" ".join(words))
        elif key in ("f", "fo"):
            faces.append([_absolute(word, tuple(counts.values())) for word in words[1:]])
            places.append(len(lines))
            lines.append("")
        else:
            lines.append(raw.strip())
    return _obj_of_triangles(lines, vertices, faces, places)


def _obj_of_triangles(
    lines: list[str],
    vertices: list[list[float]],
    faces: list[list[list[str]]],
    places: list[int],
) -> Prepared:
    """The lines, with the triangles of each face at its place."""
    if any(len(vertex) != 3 for vertex in vertices):
        raise ValueError("a vertex has fewer than three coordinates")
    points = np.array(vertices, dtype=np.float64).reshape(-1, 3)
    polygons = [[int(corner[0]) - 1 for corner in face] for face in faces]
    triangles, sources = triangulate_polygons(points, polygons)
    for triangle, source in zip(triangles, sources, strict=True):
        corners = " ".join("/".join(faces[source][i]) for i in triangle)
        lines[places[source]] += f"f {corners}\n"
    claim = _claim(points, corners_of(polygons, triangles, sources))
    return "\n".join([*lines, ""]).encode(), [claim]


def _absolute(corner: str, counts: Sequence[int]) -> list[str]:
    """The indices of a corner counted from the file's start; negative ones count back from here."""
    words = corner.split("/")
    if "-" in corner:
        for i, (word, count) in enumerate(zip(words, counts, strict=False)):
            if word.startswith("-"):
                words[i] = str(count + 1 + int(word))
    return words


def _off(content: bytes) -> Prepared:
    text = _text(content)
    lines = [line for raw in text.splitlines() if (line := raw.partition("#")[0].strip())]
    head, _, rest = lines[0].partition("OFF") if lines else ("", "", "")
    if not lines or "OFF" not in lines[0] or rest.strip().upper().startswith("BINARY"):
        raise ValueError("expected OFF as text, whose first word ends in OFF")
    if "4" in head or "n" in head:
        raise ValueError(f"its points are not in three dimensions ({head}OFF)")
    # ModelNet has the counts on the first line.
    lines = [rest.strip(), *lines[1:]] if rest.strip() else lines[1:]
    num, many = (int(word) for word in lines[0].split()[:2])
    if len(lines) < 1 + num + many:
        raise ValueError(f"it says {num} vertices and {many} faces, and holds {len(lines) - 1}")
    if not num:
        raise ValueError("it holds no vertices")
    points = np.loadtxt(lines[1 : 1 + num], usecols=(0, 1, 2), ndmin=2)
    rows = lines[1 + num : 1 + num + many]
    faces = _triangles(rows)
    if faces is None:
        polygons = [_polygon(row.split()) for row in rows]
        faces = corners_of(polygons, *triangulate_polygons(points, polygons))
    body = [f"3 {a} {b} {c}" for a, b, c in faces]
    kept = ["OFF", f"{num} {len(faces)} 0", *lines[1 : 1 + num], *body, ""]
    return "\n".join(kept).encode(), [_claim(points, faces)]


def _triangles(rows: list[str]) -> Int64[np.ndarray, "f 3"] | None:
    """Rows of an OFF file's triangles, read at once; None where any is something else."""
    if not all(row.startswith("3 ") for row in rows):
        return None
    try:
        return np.loadtxt(rows, dtype=np.int64, usecols=(1, 2, 3), ndmin=2)
    except ValueError:
        return None


def _polygon(words: list[str]) -> list[int]:
    """Corners of a row of an OFF file; what is behind them is a colour."""
    corners = [int(word) for word in words[1 : 1 + int(words[0])]]
    if len(corners) != int(words[0]):
        raise ValueError("a face has fewer vertices than it says")
    return corners


def _ply(content: bytes) -> Prepared:
    import plyfile

    check_ply_counts(content, len(content))
    if b"format ascii" in content[:1024]:
        return _of_ply(plyfile.PlyData.read(BytesIO(content)), content)
    # From a file, plyfile maps lists of one length, and says where one has another.
    lists = {"vertex_indices": 3, "vertex_index": 3, "texcoord": 6}
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            data = plyfile.PlyData.read(file, known_list_len={"face": lists})
        except plyfile.PlyElementParseError:
            data = plyfile.PlyData.read(BytesIO(content))
        return _of_ply(data, content)


def _of_ply(data: Any, content: bytes) -> Prepared:
    import plyfile

    if "face" not in data or "vertex" not in data or not data["face"].count:
        return content, []
    vertex, face = data["vertex"], data["face"]
    points = np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1)
    names = face.data.dtype.names
    name = next((n for n in ("vertex_indices", "vertex_index") if n in names), None)
    if name is None:
        raise ValueError(f"its faces have no vertex_indices, they have {', '.join(names)}")
    polygons = face[name]
    if polygons.dtype.kind != "O" and polygons.shape[1] == 3:
        return content, [_claim(points, polygons.astype(np.int64))]
    polygons = [[int(i) for i in polygon] for polygon in polygons]
    triangles, sources = triangulate_polygons(points, polygons)
    faces = corners_of(polygons, triangles, sources)
    plain = [n for n in names if face.data.dtype[n].kind != "O" and not face.data.dtype[n].shape]
    rows = np.empty(len(faces), [(name, "i4", (3,)), *((n, face.data.dtype[n]) for n in plain)])
    rows[name] = faces
    for other in plain:
        rows[other] = face[other][sources]
    stream = BytesIO()
    elements = [vertex, plyfile.PlyElement.describe(rows, "face")]
    plyfile.PlyData(elements, byte_order="<", comments=data.comments).write(stream)
    return stream.getvalue(), [_claim(points, faces)]


def _stl(content: bytes) -> Prepared:
    count = int.from_bytes(content[80:_STL_HEADER], "little")
    end = _STL_HEADER + _STL_TRIANGLE * count
    # As text these four bytes would be half a billion triangles and more.
    if count and len(content) >= end:
        return content[:end], [Claim(count)]
    if content.lstrip()[:5].lower() == b"solid":
        return content, [Claim(content.lower().count(b"endfacet"))]
    held = max(len(content) - _STL_HEADER, 0) // _STL_TRIANGLE
    raise ValueError(f"it says {count:,} triangles, and holds {held:,}")


def _glb(content: bytes) -> Prepared:
    if content[:4] != b"glTF":
        raise ValueError("expected a binary glTF, whose first bytes are glTF")
    (length,) = struct.unpack("<I", content[12:16])
    return content, _claims_of_gltf(json.loads(content[20 : 20 + length]))


def _gltf(content: bytes) -> Prepared:
    return content, _claims_of_gltf(json.loads(content))


_DRACO = "KHR_draco_mesh_compression"
# Compressed otherwise, which no reader here undoes.
_UNREAD = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_BITS = {5120: 127.0, 5121: 255.0, 5122: 32767.0, 5123: 65535.0}


def _claims_of_gltf(header: dict[str, Any]) -> list[Claim]:
    """A claim of each set of triangles, in the file's order."""
    for name in header.get("extensionsRequired", []):
        if name in _UNREAD:
            raise ValueError(f"it needs {name}: export it without that compression")
    claims = []
    for part in (part for mesh in header.get("meshes", []) for part in mesh["primitives"]):
        mode = part.get("mode", 4)
        if mode == 6:
            raise ValueError("it holds triangle fans: export it as triangles")
        if mode in (4, 5):
            claims.append(_claim_of_part(part, mode, header["accessors"]))
    return claims


def _claim_of_part(part: dict[str, Any], mode: int, accessors: list[dict[str, Any]]) -> Claim:
    position = accessors[part["attributes"]["POSITION"]]
    corners = accessors[part["indices"]] if "indices" in part else position
    compressed = "Draco" if _DRACO in part.get("extensions", {}) else None
    for accessor in (position, corners):
        if "sparse" in accessor:
            raise ValueError("its triangles are in sparse accessors: export it without them")
        if "bufferView" not in accessor and compressed is None:
            raise ValueError("its triangles have no data (an accessor without bufferView)")
    scale = _BITS.get(position["componentType"], 1.0) if position.get("normalized") else 1.0
    count = corners["count"]
    if mode == 4 and count % 3:
        raise ValueError(f"{count} corners are no triangles")
    low, high = position.get("min"), position.get("max")
    return Claim(
        count // 3 if mode == 4 else None,
        None if low is None else tuple(float(x) for x in low),
        None if high is None else tuple(float(x) for x in high),
        1 / scale,
        compressed,
    )


_FORMATS: dict[str, Callable[[bytes], Prepared]] = {
    "obj": _obj,
    "off": _off,
    "ply": _ply,
    "stl": _stl,
    "glb": _glb,
    "gltf": _gltf,
}
