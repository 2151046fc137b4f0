"""One process trains a run: a second one is told who does."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from geoflow.atomic import write_text
from geoflow.models.checkpoint import CheckpointError

_LOCK, _HOLDER = ".lock", ".trained-by"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder; the system lets go of it when the process ends, however it does.

    Raises:
        CheckpointError: if another process holds it, naming that.
    """
    holder = folder / _HOLDER
    try:
        lock = FileLock(folder / _LOCK).acquire(timeout=0)
    except Timeout as error:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise CheckpointError(
            f"{folder} is being trained by {who}: wait for it, or end it"
        ) from error
    with lock:
        write_text(holder, f"process {os.getpid()} on {socket.gethostname()}")
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)
