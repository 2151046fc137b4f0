"""Memory of what is no longer there goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back() -> None:
    """Free what nobody holds, and hand the allocator's free pages to the system.

    A visitor, their page and their shapes hold one another, so that Python's collector alone ends
    them; and glibc keeps what was freed, for every thread, in the hope that it is wanted again.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        # musl has none, and keeps little.
        if trim is not None:
            trim(0)
