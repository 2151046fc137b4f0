"""Content of mesh files as trimesh reads it right, and what the files say of themselves.

Polygons become triangles (trimesh lays fans), relative indices absolute, and what lies behind the
last triangle of an STL goes. The claim is what must have come in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from geoflow.geometry.claims import Claim, Prepared, claim_of
from geoflow.geometry.gltf_buffers import Fetch
from geoflow.geometry.gltf_header import prepare_gltf
from geoflow.geometry.ply_content import prepare_ply
from geoflow.geometry.polygons import corners_of, triangulate_polygons

_GLTF = ("glb", "gltf")
_STL_HEADER, _STL_TRIANGLE = 84, 50


def prepare(content: bytes, kind: str, fetch: Fetch) -> Prepared:
    """Content that trimesh reads right, and the claims of its parts, or of the whole.

    Args:
        content: of the file.
        kind: the suffix in lower case without its dot.
        fetch: gives files beside it, by name.

    Raises:
        ValueError: if the file contradicts itself, or needs what cannot be read.
    """
    if kind in _GLTF:
        return prepare_gltf(content, fetch)
    if kind not in _FORMATS:
        return content, []
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("it is text as UTF-16: save it as UTF-8")
    return _FORMATS[kind](content)


def _text(content: bytes) -> str:
    # Names of materials may be in any encoding; latin-1 takes every byte and gives it back.
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


# What trimesh reads right: a space behind the word at a line's start, and of faces three corners,
# counted from the file's start.
_INDEX = r"[ \t]+(\d+)[\d/]*"
_PLAIN_FACE = re.compile(rf"^f(?= ){_INDEX * 3}[ \t]*$", re.MULTILINE)
_ANY_FACE = re.compile(r"^\s*fo?\s", re.MULTILINE)
# trimesh takes vertex 0 for the last one.
_ZERO = re.compile(r"^[ \t]*fo?[ \t](?:[^\n#]*[ \t])?0+(?:/|\s|\Z)", re.MULTILINE)
# Free-form surfaces, and files inside files.
_OTHER = re.compile(r"^[ \t]*(surf|call|bzp|bsp|patch)[ \t]", re.MULTILINE)
_PLAIN_VERTEX = re.compile(r"^v(?= )[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE)
_ANY_VERTEX = re.compile(r"^\s*v[ \t]", re.MULTILINE)


def _obj(content: bytes) -> Prepared:
    text = _text(content).replace("\r\n", "\n").replace("\r", "\n").replace("\\\n", " ")
    if (other := _OTHER.search(text)) is not None:
        raise ValueError(f"its surface is made by {other[1]!r}: export it as faces")
    if _ZERO.search(text):
        raise ValueError("a face names vertex 0, and vertices of an OBJ are counted from 1")
    vertices, faces = _PLAIN_VERTEX.findall(text), _PLAIN_FACE.findall(text)
    plain = len(vertices) == len(_ANY_VERTEX.findall(text))
    if plain and len(faces) == len(_ANY_FACE.findall(text)):
        return text.encode(), [_claim_of_plain(vertices, faces)]
    return _obj_by_lines(text)


def _claim_of_plain(
    vertices: list[tuple[str, str, str]], faces: list[tuple[str, str, str]]
) -> Claim:
    points = np.array(vertices, dtype=np.float64).reshape(-1, 3)
    # As floats: an index may be too great for any integer.
    last = int(np.array(faces, dtype=np.float64).max(initial=0))
    if last > len(points):
        raise ValueError(f"a face names vertex {last}, there are {len(points)}")
    finite = points[np.isfinite(points).all(axis=1)]
    return replace(claim_of(finite, np.arange(len(finite))), faces=len(faces))


def _obj_by_lines(text: str) -> Prepared:
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
    claim = claim_of(points, corners_of(polygons, triangles, sources))
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
    counts = lines[0].split()[:2] if lines else []
    if len(counts) < 2 or not all(word.isdigit() for word in counts):
        raise ValueError("expected the numbers of vertices and faces behind OFF")
    num, many = (int(word) for word in counts)
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
    return "\n".join(kept).encode(), [claim_of(points, faces)]


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


def _stl(content: bytes) -> Prepared:
    count = int.from_bytes(content[80:_STL_HEADER], "little")
    end = _STL_HEADER + _STL_TRIANGLE * count
    # As text these four bytes would be half a billion triangles and more.
    if count and len(content) >= end:
        return content[:end], [Claim(count)]
    if content and b"\0" not in content[:_STL_HEADER]:
        return _stl_text(content)
    held = max(len(content) - _STL_HEADER, 0) // _STL_TRIANGLE
    raise ValueError(f"it says {count:,} triangles, and holds {held:,}")


# Names of solids may hold any words.
_STL_NAME = re.compile(r"^[ \t]*(?:end[ \t]*)?solid\b.*$", re.MULTILINE)
_STL_VERTEX = re.compile(r"\bvertex[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)")


def _stl_text(content: bytes) -> Prepared:
    """The triangles of all solids as those of one, without names and normals."""
    text = _text(content).lower().replace("\r\n", "\n").replace("\r", "\n")
    text = _STL_NAME.sub("", text)
    ends = text.count("endfacet")
    begun = text.count("facet") - ends
    corners = _STL_VERTEX.findall(text)
    each = {facet.count("vertex") for facet in text.split("endfacet")[:-1]}
    if begun != ends or each - {3} or len(corners) != 3 * ends:
        raise ValueError(
            f"{begun:,} facets begin, {ends:,} end, with {len(corners):,} vertices in all"
        )
    if not ends:
        raise ValueError("it is text without facets: no STL")
    points = np.array(corners, dtype=np.float64)
    lines = ["solid mesh", *(f"vertex {' '.join(corner)}" for corner in corners), "endsolid mesh"]
    return "\n".join([*lines, ""]).encode(), [
        claim_of(points, np.arange(len(points)).reshape(-1, 3))
    ]


_FORMATS: dict[str, Callable[[bytes], Prepared]] = {
    "obj": _obj,
    "off": _off,
    "ply": prepare_ply,
    "stl": _stl,
}
