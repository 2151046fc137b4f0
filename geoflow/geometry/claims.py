"""What a mesh file says of itself, to be held against what a reader made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Claim:
    """What a file says of one part, or of all it holds; None where it says nothing."""

    faces: int | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    scale: float = 1.0
    """What one unit of the stored integers is worth."""
    compressed: str | None = None
    """By what the part is compressed, to say so if it cannot be decoded."""


Prepared = tuple[bytes, list[Claim]]


def claim_of(vertices: np.ndarray, faces: np.ndarray) -> Claim:
    """The claim of triangles that a file lists; no box where vertices are not finite."""
    known = np.unique(faces[(faces >= 0) & (faces < len(vertices))])
    used = vertices[known]
    if not len(used) or not np.isfinite(used).all():
        return Claim(len(faces))
    return Claim(len(faces), tuple(used.min(axis=0)), tuple(used.max(axis=0)))
