"""Whether a window can be opened here, asked before Open3D is."""

from __future__ import annotations

import os
import subprocess
import sys

# A driver that is missing ends the process that asks for it, so another one asks.
_PROBE = """
import open3d.visualization.gui as gui
app = gui.Application.instance
app.initialize()
window = app.create_window("geoflow", 64, 64)
app.run_one_tick()
window.close()
"""
_PROBE_SECONDS = 120.0
PACKAGES = "libgl1 libegl1 libgomp1 libusb-1.0-0 libgl1-mesa-dri libvulkan1 mesa-vulkan-drivers"


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
    try:
        probe = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PROBE],
            capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DisplayUnavailableError(
            f"no window: Open3D opened none in {_PROBE_SECONDS:.0f} s; writing a picture instead"
        ) from error
    if probe.returncode != 0:
        said = (probe.stderr.strip() or probe.stdout.strip() or "it said nothing").splitlines()
        raise DisplayUnavailableError(
            f"no window: Open3D opens none ({said[-1]}); writing a picture instead; install the "
            f"extra with pip install 'geoflow[viewer]', and on Debian: apt-get install {PACKAGES}"
        )
