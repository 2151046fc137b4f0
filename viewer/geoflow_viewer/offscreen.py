"""Pictures by Open3D's renderer, without a display, in a process of their own.

A driver that is missing ends the process that asks for it, so another one asks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import UInt8

from geoflow.geometry.mesh import vertex_colours
from geoflow_viewer.display import advice
from geoflow_viewer.picture import ELEVATION, Shape
from geoflow_viewer.projection import COLOUR, view_rotation
from geoflow_viewer.studio import Set, Stage

_PROGRAM = "geoflow_viewer.offscreen_program"
# A driver that stalls must not keep a person waiting for the software.
_START_SECONDS, _PICTURE_SECONDS = 30.0, 10.0
# Of a picture that is drawn in so many seconds; larger ones take longer.
_SIZE = 500


class OffscreenUnavailableError(RuntimeError):
    """Open3D cannot draw here."""


class Open3DRenderer:
    """Pictures of Open3D's off-screen renderer, as the software ones stand and are coloured."""

    def views(
        self,
        shapes: Sequence[Shape | None],
        azimuths: Sequence[float],
        *,
        size: int,
        elevation: float = ELEVATION,
        stage: Stage | None = None,
    ) -> list[list[UInt8[np.ndarray, "h w 3"]]]:
        """A row of square pictures, one for each shape, for each azimuth.

        On white; or lit in a studio, with a shadow on the ground.

        Raises:
            OffscreenUnavailableError: without Open3D, or without its drivers.
        """
        sets = None if stage is None else [Set(shape, stage) for shape in shapes]
        drawn = shapes if sets is None else [each.shape for each in sets]
        arrays: dict[str, np.ndarray] = {
            "count": np.array(len(drawn)),
            "size": np.array(size),
            "views": np.stack([view_rotation(azimuth, elevation) for azimuth in azimuths]),
            "is_cut_out": np.array(sets is not None),
        }
        for i, shape in enumerate(drawn):
            if shape is not None:
                arrays |= {f"{name}{i}": array for name, array in _arrays(shape).items()}
        count = len(drawn) * len(azimuths)
        seconds = _PICTURE_SECONDS * count * max(1.0, (size / _SIZE) ** 2)
        pictures = _run(arrays, _START_SECONDS + seconds)
        if sets is None:
            return [list(row) for row in pictures]
        return [
            [
                each.picture(picture / 255, size=size, azimuth=azimuth, elevation=elevation)
                for each, picture in zip(sets, row, strict=True)
            ]
            for azimuth, row in zip(azimuths, pictures, strict=True)
        ]


def _arrays(shape: Shape) -> dict[str, np.ndarray]:
    vertices = np.asarray(shape.vertices, np.float64)
    if isinstance(shape, trimesh.PointCloud):
        own = np.asarray(shape.colors)[:, :3] / 255.0 if len(shape.colors) else None
        found = {"vertices": vertices}
    else:
        own = vertex_colours(shape)
        found = {"vertices": vertices, "faces": np.asarray(shape.faces, np.int32)}
    colours = COLOUR if own is None else own
    return found | {"colours": np.broadcast_to(colours, vertices.shape)}


def _run(arrays: dict[str, np.ndarray], seconds: float) -> UInt8[np.ndarray, "v s h w c"]:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "scene.npz"), Path(folder, "pictures.npy")
        np.savez(given, **arrays)  # type: ignore[arg-type]
        try:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", _PROGRAM, given, made],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                capture_output=True, text=True, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise OffscreenUnavailableError(
                f"Open3D's renderer drew nothing in {seconds:.0f} s: the machine is busy, or its "
                "driver stalls"
            ) from error
        if done.returncode != 0 or not made.is_file():
            said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise _unavailable(said)
        pictures: np.ndarray = np.load(made)
        return pictures


def _unavailable(reason: str) -> OffscreenUnavailableError:
    return OffscreenUnavailableError(
        f"Open3D's renderer does not work here ({reason}){advice(reason)}"
    )
