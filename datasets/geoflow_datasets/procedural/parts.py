"""Small vocabulary of the procedural categories: bars, lathe work, rotations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoflow.geometry.sdf import Revolution, RoundBox


def turn_x(angle: float) -> np.ndarray:
    """Rotation about +X by `angle` radians; positive leans +Y towards +Z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def turn_z(angle: float) -> np.ndarray:
    """Rotation about +Z by `angle` radians; positive leans +X towards +Y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def box(
    centre: Sequence[float],
    half: Sequence[float],
    radius: float = 0.0,
    rotation: np.ndarray | None = None,
) -> RoundBox:
    """A rounded box; its radius is limited to the thinnest half extent."""
    size = np.asarray(half, dtype=float)
    turn = np.eye(3) if rotation is None else rotation
    return RoundBox(np.asarray(centre, dtype=float), size, min(radius, 0.95 * size.min()), turn)


def bar(start: np.ndarray, end: np.ndarray, half: float) -> RoundBox:
    """A square bar of half thickness `half` from start to end, edges slightly rounded."""
    axis = end - start
    length = float(np.linalg.norm(axis))
    y = axis / length
    x = np.cross(y, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    rotation = np.column_stack([x, y, np.cross(x, y)])
    size = np.array([half, length / 2 + half * 0.5, half])
    return RoundBox((start + end) / 2, size, half * 0.25, rotation)


def lathe(
    profile: Sequence[tuple[float, float]],
    *,
    centre: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0),
    rotation: np.ndarray | None = None,
) -> Revolution:
    """A solid of revolution about +Y (before `rotation`) from (rho, y) pairs."""
    turn = np.eye(3) if rotation is None else rotation
    outline = np.asarray(profile, dtype=float)
    return Revolution(np.asarray(centre, dtype=float), outline, False, 0.0, turn)
