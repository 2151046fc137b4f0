"""Maps of space that bend solids and meshes: taper, shear, twist, bend, stretches, smooth noise.

Each takes points (n, 3) and gives points, one to one within the cube of half extent 1; a mesh is
bent by moving its vertices, and is then a mesh whose distances are evaluated anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Warp: TypeAlias = Callable[[Array], Array]


def taper(rng: np.random.Generator, *, most: float = 0.5) -> Warp:
    """The two axes across one grow along it, by 1 ± `most` at its ends of ±1."""
    axis, rate = int(rng.integers(3)), rng.uniform(-most, most)

    def warp(points: Array) -> Array:
        scale = np.maximum(1 + rate * points[:, axis : axis + 1], 0.15)
        across = points * scale
        across[:, axis] = points[:, axis]
        return across

    return warp


def shear(rng: np.random.Generator, *, most: float = 0.3) -> Warp:
    """One axis moves with another."""
    matrix = np.eye(3)
    first, second = rng.choice(3, 2, replace=False)
    matrix[first, second] = rng.uniform(-most, most)
    return lambda points: points @ matrix.T


def twist(rng: np.random.Generator, *, most: float = 1.0) -> Warp:
    """Turned about an axis by an angle that grows along it, in radians for each unit."""
    axis, rate = int(rng.integers(3)), rng.uniform(-most, most)
    first, second = (axis + 1) % 3, (axis + 2) % 3

    def warp(points: Array) -> Array:
        angle = rate * points[:, axis]
        turned = points.copy()
        turned[:, first] = np.cos(angle) * points[:, first] - np.sin(angle) * points[:, second]
        turned[:, second] = np.sin(angle) * points[:, first] + np.cos(angle) * points[:, second]
        return turned

    return warp


def bend(rng: np.random.Generator, *, most: float = 0.8) -> Warp:
    """An axis becomes an arc of at most `most` radians for each unit, in a plane with another."""
    axis, towards = rng.choice(3, 2, replace=False)
    rate = rng.uniform(0.15, most) * rng.choice([-1, 1])

    def warp(points: Array) -> Array:
        angle, radius = rate * points[:, axis], 1 / rate - points[:, towards]
        bent = points.copy()
        bent[:, axis], bent[:, towards] = radius * np.sin(angle), 1 / rate - radius * np.cos(angle)
        return bent

    return warp


def waves(rng: np.random.Generator, *, most: float = 0.06, finest: float = 4.0) -> Warp:
    """A smooth random displacement: waves in random directions, smaller the finer they are."""
    num = 6
    wave = rng.normal(size=(num, 3))
    wave *= (rng.uniform(1.0, finest, num) / np.linalg.norm(wave, axis=-1))[:, None]
    way = rng.normal(size=(num, 3)) / np.linalg.norm(wave, axis=-1)[:, None]
    phase, size = rng.uniform(0, 2 * np.pi, num), rng.uniform(0.2, 1.0) * most
    return lambda points: points + size * np.sin(points @ wave.T + phase) @ way


def stretch(rng: np.random.Generator, *, most: float = 0.5) -> Warp:
    """Each axis runs faster here and slower there, by e^±most: parts are resized where they are.

    Faces across an axis stay flat, and x = 0 stays, with what is alike on both its sides.
    """
    knots = np.linspace(0, 1, 4)
    found = []
    for axis in range(3):
        rates = np.exp(rng.uniform(-most, most, 3 if axis == 0 else 6))
        rates = np.concatenate([rates[::-1], rates]) if axis == 0 else rates
        level = np.concatenate([[0], np.cumsum(rates)])
        level = 2 * level / level[-1] - 1
        found.append((np.concatenate([-knots[:0:-1], knots]), level))

    def warp(points: Array) -> Array:
        moved = [np.interp(points[:, k], *found[k]) for k in range(3)]
        # Outside the cube the map goes on by a shift.
        return np.stack(moved, -1) + points - np.clip(points, -1, 1)

    return warp


WARPS = {
    "taper": taper,
    "shear": shear,
    "twist": twist,
    "bend": bend,
    "waves": waves,
    "stretch": stretch,
}
"""Random warps of the cube of half extent 1."""
