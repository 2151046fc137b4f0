"""Peak memory of this process between two moments, in bytes.

Linux alone tells the peak since a moment (the high-water mark of /proc can be set back); elsewhere
the growth of the process's peak over its whole life stands in for it.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def mark() -> int:
    """Resident memory now, from which `growth` counts."""
    if not _STATUS.is_file():
        return _lifetime_peak()
    _RESET.write_text("5", encoding="ascii")
    return _kibibytes("VmRSS") * 1024


def growth(since: int) -> int:
    """How far above the mark the memory rose at most."""
    return (_kibibytes("VmHWM") * 1024 if _STATUS.is_file() else _lifetime_peak()) - since


def _kibibytes(key: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _lifetime_peak() -> int:
    # macOS counts in bytes, other systems in KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
