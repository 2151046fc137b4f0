"""Articulated figures with exact joints: any number by seed, offline.

Figure i of a split is drawn from the seed sequence (split, kind, i): splits never share a
figure, and every figure can be made alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from geoflow.geometry.sdf import sample_surface
from geoflow_datasets.figures.biped import biped
from geoflow_datasets.figures.figure import Figure
from geoflow_datasets.figures.hand import hand
from geoflow_datasets.figures.quadruped import quadruped
from geoflow_datasets.layouts import SPLITS

FIGURES: dict[str, Callable[[np.random.Generator], Figure]] = {
    "biped": biped,
    "quadruped": quadruped,
    "hand": hand,
}


def make_figure(kind: str, index: int, *, split: str = "train") -> Figure:
    """One figure, centred, longest half extent 1.

    Raises:
        ValueError: for an unknown kind or split.
    """
    return FIGURES[_known(kind)](_generator(kind, index, split))


def make_surface(
    kind: str, index: int, *, split: str = "train", num: int = 1024
) -> Float[np.ndarray, "n 3"]:
    """Points of a figure's surface, uniform in area."""
    figure = make_figure(kind, index, split=split)
    rng = np.random.default_rng([int(_generator(kind, index, split).integers(2**32)), 1])
    return sample_surface(figure.solids, num, rng)[0]


def _known(kind: str) -> str:
    if kind not in FIGURES:
        raise ValueError(f"kind must be one of {', '.join(FIGURES)}, got {kind!r}")
    return kind


def _generator(kind: str, index: int, split: str) -> np.random.Generator:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    return np.random.default_rng([SPLITS.index(split), zlib.crc32(_known(kind).encode()), index])
