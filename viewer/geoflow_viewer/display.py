"""Whether a window can be opened here, asked before Open3D is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path

# A driver that is missing ends the process that asks for it, so another one asks. A window that was
# drawn is there; taking it down again crashes some software drivers, and is not asked.
_PROBE = """
import os
import open3d.visualization.gui as gui
app = gui.Application.instance
app.initialize()
window = app.create_window("geoflow", 64, 64)
app.run_one_tick()
os._exit(0)
"""
_PROBE_SECONDS = 120.0
# A driver that is slow to start fails once.
_TRIES = 2
_FOUND_BY: dict[str, Callable[[], bool]] = {
    **{
        package: lambda library=library: find_library(library) is not None  # type: ignore[misc]
        for package, library in (
            ("libgl1", "GL"),
            ("libegl1", "EGL"),
            ("libgomp1", "gomp"),
            ("libusb-1.0-0", "usb-1.0"),
            ("libvulkan1", "vulkan"),
        )
    },
    "libgl1-mesa-dri": lambda: any(Path("/usr/lib").glob("*/dri/*_dri.so")),
    "mesa-vulkan-drivers": lambda: any(Path("/usr/share/vulkan/icd.d").glob("*.json")),
}


class DisplayUnavailableError(RuntimeError):
    """No window can be opened here."""


def check_display() -> None:
    """Return where Open3D's window opens.

    Raises:
        DisplayUnavailableError: without a display, without Open3D, or without its libraries.
    """
    on_linux = sys.platform.startswith("linux")
    if on_linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise DisplayUnavailableError(
            "no window: there is no display (DISPLAY is not set); writing a picture instead; "
            "geoflow view --web shows a page, also over SSH"
        )
    for _ in range(_TRIES):
        probe = _probe()
        if probe.returncode == 0:
            return
    reason = _reason(probe)
    raise DisplayUnavailableError(
        f"no window: Open3D opens none ({reason}); writing a picture instead{advice(reason)}"
    )


def advice(reason: str) -> str:
    """What to install where Open3D fails for a reason: nothing that is there already."""
    if "No module named" in reason:
        return "; install the extra with pip install 'geoflow[viewer]'"
    missing = " ".join(missing_packages())
    return f"; on Debian: apt-get install {missing}" if missing else ""


def missing_packages() -> list[str]:
    """Debian's packages of those that a window needs whose libraries are not found here."""
    return [package for package, is_there in _FOUND_BY.items() if not is_there()]


def _probe() -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PROBE],
            capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DisplayUnavailableError(
            f"no window: Open3D opened none in {_PROBE_SECONDS:.0f} s; writing a picture instead"
        ) from error


def _reason(probe: subprocess.CompletedProcess[str]) -> str:
    """What went wrong: the line that names an error, else the signal, else the last line."""
    lines = [line.strip() for line in f"{probe.stdout}\n{probe.stderr}".splitlines()]
    said = [line for line in lines if line]
    telling = [line for line in said if "error" in line.lower() or "failed" in line.lower()]
    if not telling and probe.returncode < 0:
        return f"it ended by signal {-probe.returncode}"
    return (telling or said or ["it said nothing"])[-1]
