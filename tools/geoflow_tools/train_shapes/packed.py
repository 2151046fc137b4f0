"""Meshes in one small file, to be carried to a machine that has none.

Vertices are rounded to 1 / 31,000 of a half extent; vertices and faces are stored as differences,
compressed. Meshes of many faces are decimated first.

`python -m geoflow_tools.train_shapes.packed FOLDER FILE` packs the meshes that `splits.json` in the
folder gives to training.
"""

from __future__ import annotations

import json
import lzma
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from geoflow.atomic import write_bytes
from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.read_mesh import MeshError, read_mesh

_MOST_FACES = 8_000
_BOUND, _STEPS = 1.05, 65_535


@dataclass(frozen=True)
class PackedMeshes:
    """Meshes by name, CATEGORY/FILE as in the folder that they come from."""

    parts: dict[str, tuple[int, int, bytes]]
    """Numbers of vertices and faces, and both compressed."""

    @staticmethod
    def read(path: Path) -> PackedMeshes:
        """What `pack` wrote.

        Raises:
            ValueError: if it is cut short.
        """
        content = path.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        parts = {}
        for name, vertices, faces, length in json.loads(content[8:start]):
            parts[name] = (vertices, faces, content[start : start + length])
            start += length
        if start != len(content):
            raise ValueError(f"{path} has {len(content)} bytes, expected {start}: pack it again")
        return PackedMeshes(parts)

    def mesh(self, name: str) -> trimesh.Trimesh:
        """A mesh, its box centred and its longest half extent 1."""
        num_vertices, num_faces, body = self.parts[name]
        raw = np.frombuffer(lzma.decompress(body), np.uint8)
        cut = 6 * num_vertices
        steps = _whole(raw[:cut], np.int16).reshape(3, num_vertices).T.astype(np.int64)
        faces = _whole(raw[cut:], np.int32).astype(np.int64)
        # Differences are of 16 bits, and so are sums.
        level = np.cumsum(steps, 0) & _STEPS
        points = (2 * level / _STEPS - 1) * _BOUND
        mesh = trimesh.Trimesh(points, np.cumsum(faces).reshape(num_faces, 3), process=False)
        return normalise_mesh(mesh)


def pack(folder: Path, path: Path) -> list[str]:
    """Write the training meshes of a folder; returns a line for each that is refused."""
    splits = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    heads, bodies, refused = [], [], []
    for name in sorted(name for name, split in splits.items() if split == "train"):
        try:
            mesh = normalise_mesh(read_mesh(folder / name))
        except MeshError as error:
            refused.append(f"{name}: {error}")
            continue
        if len(mesh.faces) > _MOST_FACES:
            mesh = mesh.simplify_quadric_decimation(face_count=_MOST_FACES)
        vertices, faces, body = _packed(np.asarray(mesh.vertices), np.asarray(mesh.faces))
        heads.append((name, vertices, faces, len(body)))
        bodies.append(body)
    head = json.dumps(heads).encode()
    write_bytes(path, len(head).to_bytes(8, "little") + head + b"".join(bodies))
    return refused


def _packed(vertices: np.ndarray, faces: np.ndarray) -> tuple[int, int, bytes]:
    # In the order in which faces name them, vertices and faces differ little from those before.
    used, first, index = np.unique(faces, return_index=True, return_inverse=True)
    order = np.argsort(first)
    faces = np.argsort(order)[index].ravel()
    level = np.round((np.clip(vertices[used[order]] / _BOUND, -1, 1) + 1) * (_STEPS / 2))
    steps = np.diff(level.astype(np.int32), axis=0, prepend=np.zeros((1, 3), np.int32))
    body = _halves(steps.T.astype(np.int16)) + _halves(np.diff(faces, prepend=0).astype(np.int32))
    return len(used), len(faces) // 3, lzma.compress(body)


def _halves(numbers: np.ndarray) -> bytes:
    """First bytes of all numbers, then second bytes: those alike lie together."""
    raw = np.frombuffer(numbers.tobytes(), np.uint8)
    return raw.reshape(-1, numbers.itemsize).T.tobytes()


def _whole(raw: np.ndarray, kind: type[np.integer]) -> np.ndarray:
    size = np.dtype(kind).itemsize
    return np.frombuffer(raw.reshape(size, -1).T.tobytes(), kind)


if __name__ == "__main__":
    for line in pack(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"refused: {line}")
