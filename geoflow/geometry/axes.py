"""Which axis points up: +Y inside, +Y or +Z in files."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import trimesh
from jaxtyping import Float

UP_AXES = ("y", "z")
# From +Y up to +Z up: a quarter turn about +X. Its transpose leads back.
_Y_TO_Z = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

G = TypeVar("G", trimesh.Trimesh, trimesh.PointCloud)


def check_up(up: str) -> str:
    """The name of the axis that points up.

    Raises:
        ValueError: if it is neither "y" nor "z".
    """
    if up not in UP_AXES:
        raise ValueError(f"up must be 'y' or 'z', got {up!r}")
    return up


def frame_from_up(up: str) -> Float[np.ndarray, "3 3"]:
    """Right, up and front, as rows, of an upright shape in a file in which `up` points up.

    Raises:
        ValueError: if `up` is neither "y" nor "z".
    """
    return np.eye(3) if check_up(up) == "y" else _Y_TO_Z.T


def points_from_up(points: Float[np.ndarray, "n 3"], up: str) -> Float[np.ndarray, "n 3"]:
    """Points of a file in which `up` points up, turned to +Y up.

    Raises:
        ValueError: if `up` is neither "y" nor "z".
    """
    return points if check_up(up) == "y" else points @ _Y_TO_Z


def turn_up(shape: G, up: str) -> G:
    """A copy with `up` up, from +Y up.

    Raises:
        ValueError: if `up` is neither "y" nor "z".
    """
    return _turned(shape, _Y_TO_Z if check_up(up) == "z" else np.eye(3))


def turn_from_up(shape: G, up: str) -> G:
    """A copy with +Y up, from `up` up.

    Raises:
        ValueError: if `up` is neither "y" nor "z".
    """
    return _turned(shape, _Y_TO_Z.T if check_up(up) == "z" else np.eye(3))


def _turned(shape: G, turn: Float[np.ndarray, "3 3"]) -> G:
    transform = np.eye(4)
    transform[:3, :3] = turn
    copy = shape.copy()
    copy.apply_transform(transform)
    return copy
