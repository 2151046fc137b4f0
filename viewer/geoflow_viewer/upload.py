"""What a visitor uploads, read by a child process with little time and memory.

A file of a few hundred kilobytes may unpack to gigabytes, or keep its reader busy for hours.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import trimesh

from geoflow.arrays import load_npz
from geoflow.geometry.mesh import SUFFIXES as MESHES
from geoflow.geometry.read_points import SUFFIXES as CLOUDS
from geoflow.geometry.read_points import Cloud
from geoflow_viewer.opened import Opened

MOST_BYTES = 64 * 2**20
MOST_FACES = 2_000_000
MOST_POINTS = 2_000_000
SECONDS = 60.0
_PROGRAM = "geoflow_viewer.upload_program"
# Children at once, of all visitors.
_places = threading.Semaphore(2)


class UploadError(ValueError):
    """An upload is refused; the message says why."""


def check_upload(name: str, size: int) -> None:
    """Refuse by name and size, before or after the content is here.

    Raises:
        UploadError: for another suffix than those of meshes and clouds, or too many bytes.
    """
    if Path(name).suffix.lower() not in (*MESHES, *CLOUDS):
        raise UploadError(f"{name}: a mesh is {', '.join(MESHES)}, a cloud {', '.join(CLOUDS)}")
    if not 0 < size <= MOST_BYTES:
        raise UploadError(
            f"{name} has {size / 2**20:.1f} MB, expected more than nothing and at most "
            f"{MOST_BYTES // 2**20} MB"
        )


def read_upload(name: str, content: bytes, *, seconds: float = SECONDS) -> Opened:
    """The mesh or the cloud of an uploaded file.

    Raises:
        UploadError: if it is refused, no reader understands it, or it takes too much time or
            memory.
    """
    check_upload(name, len(content))
    command = [sys.executable, "-W", "ignore", "-m", _PROGRAM, Path(name).suffix.lower()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with _places:
        try:
            done = subprocess.run(
                command, input=content, capture_output=True, timeout=seconds, env=environment,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UploadError(f"{name}: it was not read in {seconds:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        # A child that was killed, by a limit or by the system, says nothing.
        reason = said[-1] if said and done.returncode == 1 else "it takes too much memory or time"
        raise UploadError(f"{name}: {reason}")
    arrays = load_npz(io.BytesIO(done.stdout))
    if "points" in arrays:
        return _cloud(name, arrays["points"], arrays.get("normals"))
    mesh = trimesh.Trimesh(arrays["vertices"], arrays["faces"], process=False)
    if not np.isfinite(mesh.vertices).all():
        raise UploadError(f"{name}: its vertices are not finite")
    return mesh


def _cloud(name: str, points: np.ndarray, normals: np.ndarray | None) -> Cloud:
    for array in (points, *([] if normals is None else [normals])):
        if not np.isfinite(array).all():
            raise UploadError(f"{name}: its points are not finite")
    return Cloud(points, normals)
