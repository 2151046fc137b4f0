"""The process that reads an upload: `python -m geoflow_viewer.upload_program SUFFIX`.

The file comes by the input; the vertices and faces of a mesh, or the points of a cloud and their
normals, go as .npz to the output; what is wrong is the last line of the error stream, with exit
code 1.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_MEMORY, _CPU_SECONDS = 3 * 2**30, 50


def main(suffix: str) -> int:
    """Read within the limits."""
    _limit()
    import numpy as np

    content = sys.stdin.buffer.read()
    try:
        arrays = _points(content, suffix) if _is_cloud(content, suffix) else _mesh(content, suffix)
    except ValueError as error:
        return _refuse(" ".join(str(error).split())[:300])
    except MemoryError:
        return _refuse("it takes too much memory")
    made = io.BytesIO()
    np.savez(made, **arrays)  # type: ignore[arg-type]
    sys.stdout.buffer.write(made.getvalue())
    return 0


def _is_cloud(content: bytes, suffix: str) -> bool:
    from geoflow.geometry.read_points import SUFFIXES, is_cloud_header

    return is_cloud_header(content) if suffix == ".ply" else suffix in SUFFIXES


def _mesh(content: bytes, suffix: str) -> dict[str, np.ndarray]:
    from geoflow.geometry.read_mesh import read_mesh_bytes
    from geoflow_viewer.upload import MOST_FACES

    mesh = read_mesh_bytes(content, suffix)
    if len(mesh.faces) > MOST_FACES:
        raise ValueError(f"it has {len(mesh.faces):,} faces, expected at most {MOST_FACES:,}")
    return {"vertices": mesh.vertices, "faces": mesh.faces}


def _points(content: bytes, suffix: str) -> dict[str, np.ndarray]:
    from geoflow.geometry.read_points import read_points_bytes
    from geoflow_viewer.upload import MOST_POINTS

    cloud = read_points_bytes(content, suffix)
    if len(cloud.points) > MOST_POINTS:
        raise ValueError(f"it has {len(cloud.points):,} points, expected at most {MOST_POINTS:,}")
    normals = {} if cloud.normals is None else {"normals": cloud.normals}
    return {"points": cloud.points} | normals


def _limit() -> None:
    """Bound memory and time where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is left.
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))


def _refuse(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
