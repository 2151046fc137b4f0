"""The one reader of clouds: every command, source of data and viewer reads a file alike."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from geoflow.arrays import load_npy, load_npz
from geoflow.geometry.laz_header import check_laz
from geoflow.geometry.pcd_header import prepare_pcd
from geoflow.geometry.ply_header import check_ply_counts
from geoflow.geometry.wording import in_a_line

# A header's end is sought in so many bytes.
_PLY_HEADER = 65_536
# Columns after the third are normals where their lengths differ from 1 by no more.
_UNIT = 1e-2


@dataclass(frozen=True)
class Cloud:
    """Points of a file, in its own units and axes."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"] | None = None
    """Unit normals, where the file has them."""


def read_points(path: Path) -> Cloud:
    """Points of a file, with their normals where it has them; other channels are left out.

    Normals are nx, ny, nz of a .ply, normal_x, normal_y, normal_z of a .pcd, the array `normals` of
    an .npz; of .xyz and .npy columns 4 to 6, if all of them are of unit length: others are colours.
    An .npz holds its points under the name `points`, or nothing else.

    Raises:
        ValueError: if the file cannot be read, is empty, has another shape or is not finite.
    """
    try:
        with path.open("rb") as file:
            rows, normals = _reader(path.suffix)(file)
    except Exception as error:  # Readers of many formats fail in as many ways.
        raise ValueError(f"it cannot be read: {in_a_line(error)}") from error
    return _checked(rows, normals)


# Strips are triangles too, whose reader refuses them by name.
_FACES = re.compile(rb"^element[ \t]+(?:face|tristrips)[ \t]+(\d+)", re.MULTILINE)


def read_points_bytes(content: bytes, suffix: str) -> Cloud:
    """As `read_points`, from the content of a file, such as an upload.

    Args:
        content: the whole file.
        suffix: its format, as ".ply".

    Raises:
        ValueError: if the content cannot be read, is empty, has another shape or is not finite.
    """
    try:
        rows, normals = _reader(suffix)(io.BytesIO(content))
    except Exception as error:  # As above.
        raise ValueError(f"it cannot be read: {in_a_line(error)}") from error
    return _checked(rows, normals)


def is_cloud(path: Path) -> bool:
    """Whether a file is one of points by its suffix, or a .ply file without faces by its header."""
    suffix = path.suffix.lower()
    if suffix != ".ply":
        return suffix in SUFFIXES
    try:
        with path.open("rb") as file:
            return is_cloud_header(file.read(_PLY_HEADER))
    except OSError:
        # Whoever reads it refuses it by name.
        return False


def is_cloud_header(content: bytes) -> bool:
    """Whether a .ply file that begins with these bytes has no faces."""
    header = content[:_PLY_HEADER].partition(b"end_header")[0].replace(b"\r", b"\n")
    counts = _FACES.findall(header)
    return header.startswith(b"ply") and not any(int(count) for count in counts)


def _checked(rows: np.ndarray, normals: np.ndarray | None) -> Cloud:
    if rows.ndim != 2 or rows.shape[1] < 3 or len(rows) == 0:
        raise ValueError(f"expected points of shape (n, 3), n > 0, got {rows.shape}")
    if rows.dtype.kind not in "fiu":
        raise ValueError(f"expected numbers, got {rows.dtype}")
    points = np.asarray(rows[:, :3], dtype=np.float64)
    broken = int((~np.isfinite(points)).any(axis=1).sum())
    if broken:
        raise ValueError(
            f"its points must be finite, {broken:,} of {len(points):,} are NaN or infinite"
        )
    if normals is None and rows.shape[1] >= 6:
        normals = rows[:, 3:6]
    return Cloud(points, None if normals is None else _unit(normals, len(points)))


def _unit(found: np.ndarray, num: int) -> np.ndarray | None:
    """Normals of unit length; None where some are no directions: they are something else."""
    normals = np.asarray(found, dtype=np.float64)
    if normals.shape != (num, 3):
        raise ValueError(f"expected normals of shape ({num}, 3), got {normals.shape}")
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    if not (np.abs(length - 1) < _UNIT).all():
        return None
    return normals / length


_Read = tuple[np.ndarray, np.ndarray | None]


def _read_ply(file: io.BufferedIOBase) -> _Read:
    from plyfile import PlyData

    head, size = file.read(_PLY_HEADER), file.seek(0, io.SEEK_END)
    file.seek(0)
    check_ply_counts(head, size)
    vertex = PlyData.read(file)["vertex"].data
    points = np.column_stack([vertex[name] for name in "xyz"])
    names = ("nx", "ny", "nz")
    has_normals = set(names) <= set(vertex.dtype.names)
    return points, np.column_stack([vertex[name] for name in names]) if has_normals else None


def _read_npz(file: io.BufferedIOBase) -> _Read:
    arrays = load_npz(file)
    names = list(arrays)
    if "points" not in names and len(names) != 1:
        raise ValueError(f"expected an array 'points', got {', '.join(names) or 'none'}")
    return arrays["points" if "points" in names else names[0]], arrays.get("normals")


def _read_npy(file: io.BufferedIOBase) -> _Read:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return load_npy(file, size), None


def _read_pcd(file: io.BufferedIOBase) -> _Read:
    from pydantic import ValidationError
    from pypcd4.pypcd4 import PointCloud

    content = prepare_pcd(file.read())
    try:
        # It reads from any binary file.
        cloud = PointCloud.from_fileobj(io.BytesIO(content))  # type: ignore[arg-type]
    except ValidationError as error:  # Many lines on the reader's own classes.
        raise ValueError("its header is that of no .pcd file") from error
    names = ("normal_x", "normal_y", "normal_z")
    has_normals = set(names) <= set(cloud.fields)
    return cloud.numpy(("x", "y", "z")), cloud.numpy(names) if has_normals else None


def _read_las(file: io.BufferedIOBase) -> _Read:
    import laspy

    content = file.read()
    check_laz(content)
    # Several threads would make room for whole chunks, however few points they have.
    read = laspy.read(io.BytesIO(content), laz_backend=laspy.LazBackend.Lazrs)
    return np.asarray(read.xyz), None


_READERS: dict[str, Callable[[io.BufferedIOBase], _Read]] = {
    ".ply": _read_ply,
    ".xyz": lambda file: (np.loadtxt(file, dtype=np.float64, ndmin=2), None),
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pcd": _read_pcd,
    ".las": _read_las,
    ".laz": _read_las,
}
SUFFIXES = tuple(_READERS)
"""Of files that hold clouds."""


def _reader(suffix: str) -> Callable[[io.BufferedIOBase], _Read]:
    if suffix.lower() not in _READERS:
        raise ValueError(f"clouds are {', '.join(SUFFIXES)}, got {suffix!r}")
    return _READERS[suffix.lower()]
