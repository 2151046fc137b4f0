"""The process that reads an upload: `python -m geoflow_viewer.upload_program SUFFIX`.

The file comes by the input, its vertices and faces go as .npz to the output; what is wrong is the
last line of the error stream, with exit code 1.
"""

from __future__ import annotations

import io
import sys

_MEMORY, _CPU_SECONDS = 3 * 2**30, 50


def main(suffix: str) -> int:
    """Read within the limits."""
    _limit()
    import numpy as np

    from geoflow.geometry.read_mesh import read_mesh_bytes
    from geoflow_viewer.upload import MOST_FACES

    try:
        mesh = read_mesh_bytes(sys.stdin.buffer.read(), suffix)
    except ValueError as error:
        return _refuse(" ".join(str(error).split())[:300])
    except MemoryError:
        return _refuse("it takes too much memory")
    if len(mesh.faces) > MOST_FACES:
        return _refuse(f"it has {len(mesh.faces):,} faces, expected at most {MOST_FACES:,}")
    made = io.BytesIO()
    np.savez(made, vertices=np.asarray(mesh.vertices), faces=np.asarray(mesh.faces))
    sys.stdout.buffer.write(made.getvalue())
    return 0


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
