"""A window with a mesh, by Open3D."""

from __future__ import annotations

import os
import sys

import numpy as np
import trimesh


class DisplayUnavailableError(RuntimeError):
    """No window can be opened here."""


def show(mesh: trimesh.Trimesh, *, title: str) -> None:
    """Open a window and return when it is closed.

    Raises:
        DisplayUnavailableError: without a display, without Open3D, or without its libraries.
    """
    on_linux = sys.platform.startswith("linux")
    if on_linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise DisplayUnavailableError(
            "no window: there is no display (DISPLAY is not set); writing a picture instead"
        )
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise DisplayUnavailableError(
            f"no window: Open3D does not load ({error}); install the extra with "
            "pip install 'geoflow[viewer]', and on Debian: apt-get install libgl1 libusb-1.0-0"
        ) from error
    shape = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(np.asarray(mesh.vertices)),
        open3d.utility.Vector3iVector(np.asarray(mesh.faces)),
    )
    shape.compute_vertex_normals()
    shape.paint_uniform_color([0.46, 0.60, 0.86])
    window = open3d.visualization.Visualizer()
    if not window.create_window(window_name=title, width=960, height=720):
        raise DisplayUnavailableError(
            "no window: the display has no OpenGL; on Debian: apt-get install libgl1-mesa-dri"
        )
    window.add_geometry(shape)
    window.run()
    window.destroy_window()
