"""The one reader of meshes: every command, source of data and viewer reads a file alike.

Parts are joined and equal vertices merged, whatever normals or textures they carry: a cube whose
faces have their own normals is one closed cube, not six sheets. What came is held against what
the file says: triangles, box, parts; what cannot be read right is refused.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import trimesh
from trimesh.resolvers import FilePathResolver

from geoflow.geometry.axes import check_up, turn_from_up
from geoflow.geometry.claims import Claim
from geoflow.geometry.gltf_buffers import packed
from geoflow.geometry.mesh_formats import prepare
from geoflow.geometry.wording import in_a_line

# What trimesh would say of a broken file on the standard error is said by our one line.
logging.getLogger("trimesh").addHandler(logging.NullHandler())
# Vertices are equal that agree to so many digits of the mesh's size.
_DIGITS = 8
# Rounding of coordinates may move a vertex by so much of the size.
_ROUGH = 1e-6
# Least extent, and one over the most: volumes beyond are no numbers.
_LEAST = 1e-60
# The one format whose data may lie in other files.
GLTF = ".gltf"


class MeshError(ValueError):
    """A file or its mesh cannot be used; the message is the reason."""


def read_mesh(path: str | Path, *, up: str = "y") -> trimesh.Trimesh:
    """One mesh from a file, +Y up, its parts joined and equal vertices merged.

    Args:
        path: a file whose suffix says its format; its materials lie beside it.
        up: axis that points up in the file, "y" or "z".

    Returns:
        the mesh; its metadata has under `missing` the names of files, such as pictures, that the
        file names and that cannot be read: it is whole without them.

    Raises:
        MeshError: if the file cannot be opened, or no reader understands it.
        ValueError: if `up` is neither "y" nor "z".
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MeshError(f"it cannot be read as a mesh: {in_a_line(error)}") from error
    beside = _Beside(path)
    mesh = _read(content, path.suffix, beside, up)
    mesh.metadata["missing"] = tuple(dict.fromkeys(beside.missing))
    return mesh


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


def mesh_content(path: Path) -> bytes:
    """All that a mesh is made of: its file, and of a .gltf what lies beside it as well.

    Raises:
        OSError: if the file cannot be read.
    """
    content = path.read_bytes()
    return packed(content, _Beside(path).get) if path.suffix.lower() == GLTF else content


class _Beside(FilePathResolver):
    """The files beside a mesh; it keeps the names of those that cannot be read."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        # trimesh names parts by the file, and fails where its name is not UTF-8.
        self.file_name = "mesh"
        self.missing: list[str] = []

    def get(self, name: str) -> bytes:
        # Addresses in a glTF have %20 for a space.
        for known in dict.fromkeys((name, unquote(name))):
            with suppress(OSError, ValueError):
                return bytes(super().get(known))
        self.missing.append(in_a_line(name))
        raise ValueError(f"it names {name.strip()}, which cannot be read")


def _read(content: bytes, suffix: str, resolver: Any, up: str) -> trimesh.Trimesh:
    check_up(up)
    kind = suffix.lower().removeprefix(".")
    try:
        prepared, claims = prepare(content, kind, _alone if resolver is None else resolver.get)
        stream = trimesh.util.wrap_as_stream(prepared)
        # Both forms of a glTF are one by now.
        form = "glb" if kind == "gltf" else kind
        scene = trimesh.load_scene(stream, file_type=form, resolver=resolver, process=False)
        parts = [part for part in scene.geometry.values() if isinstance(part, trimesh.Trimesh)]
        _check(parts, claims)
        mesh = scene.to_mesh()
        if not len(mesh.faces):
            raise MeshError("it holds no triangles")
        _merge(mesh)
    except Exception as error:  # Readers of many formats fail in as many ways.
        raise MeshError(f"it cannot be read as a mesh: {_words(error)}") from error
    return turn_from_up(mesh, up) if up != "y" else mesh


def _alone(name: str) -> bytes:
    raise ValueError(f"it names {name}, which is not with it")


def _words(error: Exception) -> str:
    """One line of an error that a reader may have raised without a thought of its message."""
    said = in_a_line(error)
    if isinstance(error, KeyError):
        return f"it lacks {said}"
    if isinstance(error, IndexError):
        return f"it names something that it does not have ({said})"
    return said or f"it contradicts itself ({type(error).__name__})"


def _check(parts: list[trimesh.Trimesh], claims: list[Claim]) -> None:
    """Raise MeshError unless the parts are finite, whole, and what the file says they are."""
    for part in parts:
        _check_indices(part)
        _drop_broken_picture(part)
    if len(claims) == len(parts):
        for part, claim in zip(parts, claims, strict=True):
            _check_claim([part], claim)
            if claim.scale != 1:
                # Signed integers have one value too many, which stands for -1 too.
                part.vertices = np.maximum(part.vertices * claim.scale, -1)
    elif len(claims) == 1:
        _check_claim(parts, claims[0])
    elif claims:
        raise MeshError(f"it says {len(claims)} parts, {len(parts)} came")


def _check_indices(part: trimesh.Trimesh) -> None:
    faces, num = np.asarray(part.faces), len(part.vertices)
    outside = (faces < 0) | (faces >= num)
    if outside.any():
        raise MeshError(f"{outside.any(axis=1).sum()} faces name vertices that it does not have")
    used = np.asarray(part.vertices)[np.unique(faces)]
    broken = int((~np.isfinite(used)).any(axis=1).sum())
    if broken:
        raise MeshError(f"{broken} of its vertices are not finite (NaN or infinite)")


def _check_claim(parts: list[trimesh.Trimesh], claim: Claim) -> None:
    came = sum(len(part.faces) for part in parts)
    but = f": its {claim.compressed} data cannot be decoded" if claim.compressed else ""
    if claim.faces is not None and came != claim.faces:
        raise MeshError(f"it says {claim.faces:,} triangles, {came:,} came{but}")
    if claim.low is None or claim.high is None or not came:
        return
    says = np.array([claim.low, claim.high])
    used = np.concatenate([part.vertices[np.unique(part.faces)] for part in parts])
    has = np.stack([used.min(axis=0), used.max(axis=0)])
    # Compression moves vertices; and some of what the file says may be of no face.
    size = float(np.ptp(says, axis=0).max())
    slack = (1e-2 if claim.compressed else 1e-4) * size + 1e-6 * float(np.abs(says).max())
    outside = (has[0] < says[0] - slack).any() or (has[1] > says[1] + slack).any()
    if outside or (claim.compressed and np.ptp(has, axis=0).max() < 0.5 * size):
        raise MeshError(
            f"it says a box from {_point(says[0])} to {_point(says[1])}, "
            f"{_point(has[0])} to {_point(has[1])} came{but}"
        )


def _point(values: np.ndarray) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"


def _drop_broken_picture(part: trimesh.Trimesh) -> None:
    """Leave out a texture whose picture is missing or damaged: the shape is whole without."""
    material = getattr(part.visual, "material", None)
    for name in ("image", "baseColorTexture"):
        if getattr(material, name, None) is None:
            continue
        try:
            getattr(material, name).load()
        except Exception:  # Pillow fails in many ways.
            setattr(material, name, None)


def _merge(mesh: trimesh.Trimesh) -> None:
    """Merge vertices that are equal for the size of the mesh, and drop faces left without area."""
    size = float(np.ptp(mesh.vertices[np.unique(mesh.faces)], axis=0).max())
    if not size > 0:
        raise MeshError("its vertices coincide")
    if not _LEAST <= size <= 1 / _LEAST:
        raise MeshError(f"its largest extent is {size:.3g}, expected {_LEAST:g} to {1 / _LEAST:g}")
    far = float(np.abs(mesh.bounds).max())
    if np.spacing(far) > _ROUGH * size:
        raise MeshError(f"it lies {far:.3g} from the origin, where nothing is left of its form")
    # A tolerance in the file's own units would weld small shapes into nothing.
    digits = _DIGITS - math.floor(math.log10(size))
    mesh.merge_vertices(merge_tex=True, merge_norm=True, digits_vertex=digits)
    faces = np.asarray(mesh.faces)
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    if not whole.all():
        mesh.update_faces(whole)
        mesh.remove_unreferenced_vertices()
    if not len(mesh.faces):
        raise MeshError("it holds no triangles")
