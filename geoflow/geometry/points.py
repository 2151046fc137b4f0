"""Point clouds as files, written as they come: memory does not grow with their number."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from geoflow.atomic import disk_full_named, draft_of, sync

SUFFIXES = (".ply", ".xyz", ".npy", ".npz")
_PLY_NAMES = {
    "position": ("x", "y", "z"),
    "normal": ("nx", "ny", "nz"),
    "color": ("red", "green", "blue"),
}


def check_points_suffix(path: Path) -> str:
    """The file's suffix in lower case.

    Raises:
        ValueError: if no format of point clouds has it.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"suffix must be one of {', '.join(SUFFIXES)}, got {path.name!r}")
    return suffix


def write_points(
    chunks: Iterable[Float[np.ndarray, "_ c"]],
    path: Path,
    *,
    num: int,
    channels: tuple[str, ...] = ("position",),
) -> None:
    """Write `num` points by suffix; the file appears whole or keeps its old content.

    .ply is binary, with normals and 8-bit colours; .xyz is text, a point a line; .npy and .npz
    (under the name points) hold a float32 array (n, c).

    Raises:
        ValueError: for an unknown suffix, or if the chunks do not hold `num` points.
        FloatingPointError: for a number that is not finite; nothing is left behind.
        OSError: if the folder does not exist or cannot be written; nothing is left behind.
    """
    suffix = check_points_suffix(path)
    draft = draft_of(path)
    needed = num * 3 * len(channels) * 4
    try:
        with disk_full_named(path, needed), draft.open("wb") as file:
            if suffix == ".npz":
                # A zip member's size stands before it: the array is gathered.
                whole = np.concatenate([_finite(chunk) for chunk in chunks])
                _check_count(len(whole), num)
                np.savez(file, points=whole)
            else:
                file.write(_header(suffix, num, channels))
                _check_count(sum(_write(file, c, suffix, channels) for c in chunks), num)
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _header(suffix: str, num: int, channels: tuple[str, ...]) -> bytes:
    if suffix == ".ply":
        lines = ["ply", "format binary_little_endian 1.0", f"element vertex {num}"]
        for name in channels:
            kind = "uchar" if name == "color" else "float"
            lines += [f"property {kind} {field}" for field in _PLY_NAMES[name]]
        return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")
    if suffix == ".npy":
        buffer = io.BytesIO()
        shape = (num, 3 * len(channels))
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue()
    return b""


def _write(file: BinaryIO, points: np.ndarray, suffix: str, channels: tuple[str, ...]) -> int:
    points = _finite(points)
    if suffix == ".ply":
        kinds = [
            (field, "u1" if name == "color" else "<f4")
            for name in channels
            for field in _PLY_NAMES[name]
        ]
        rows = np.empty(len(points), dtype=kinds)
        for column, (field, kind) in enumerate(kinds):
            values = points[:, column]
            rows[field] = np.rint(values.clip(0, 1) * 255) if kind == "u1" else values
        file.write(rows.tobytes())
    elif suffix == ".npy":
        file.write(points.tobytes())
    else:
        np.savetxt(file, points, fmt="%.6g")
    return len(points)


def _finite(points: np.ndarray) -> np.ndarray:
    given = np.asarray(points, dtype="<f4")
    broken = int(given.size - np.isfinite(given).sum())
    if broken:
        raise FloatingPointError(
            f"{broken:,} of {given.size:,} numbers of points are not finite (NaN or infinite): "
            "no file is written"
        )
    return given


def _check_count(found: int, num: int) -> None:
    if found != num:
        raise ValueError(f"expected {num} points, got {found}")
