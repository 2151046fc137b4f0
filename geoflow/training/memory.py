"""Memory that one step of training frees is kept for the next.

The C library gives large freed blocks back to the system, which clears every page that is asked for
again: of a training on a processor that is a tenth of the time (docs/training.md). The bits of a
run are the same either way.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Names and places of glibc's malloc.h; thresholds are C integers.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER_TRIM, _NEVER_MAP = 2**31 - 1, 2**30
# Where glibc's own thresholds end up in a process that has freed large blocks.
_TRIM_USUALLY, _MAP_USUALLY = 2**26, 2**25


@contextmanager
def kept_memory(device: torch.device | str) -> Iterator[None]:
    """Keep freed memory of the process while on a processor; at the end it is given back.

    Elsewhere, and where the C library is not glibc, nothing is done.
    """
    library = _glibc() if torch.device(device).type == "cpu" else None
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _NEVER_MAP)
    library.mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _MAP_USUALLY)
        library.mallopt(_TRIM_THRESHOLD, _TRIM_USUALLY)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no library of the process itself
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
