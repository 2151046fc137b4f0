"""Tables: rectangular, round or oval tops; four legs, pedestal, trestle or slab; shelves, drawers.

Lengths are metres before normalisation; +Y up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoflow.geometry.sdf import RoundCone, Solid
from geoflow_datasets.procedural.parts import bar, box, lathe


def table(rng: np.random.Generator) -> list[Solid]:
    """One random table."""
    width, depth = rng.uniform(0.8, 1.6), rng.uniform(0.6, 0.9)
    height, thick = rng.uniform(0.4, 0.78), rng.uniform(0.05, 0.09)
    is_round = rng.random() < 0.3
    if is_round:
        width = depth = rng.uniform(0.7, 1.2)
        r = width / 2
        profile = [(0, height - thick), (r, height - thick), (r, height), (0, height)]
        solids: list[Solid] = [lathe(profile)]
    else:
        size = [width / 2, thick / 2, depth / 2]
        solids = [box([0, height - thick / 2, 0], size, rng.uniform(0.1, 0.9) * thick / 2)]
    reach = 0.62 if is_round else 0.88
    frame = _Frame(
        under=height - thick + 0.005,
        x=reach * width / 2,
        z=reach * depth / 2,
        height=height,
        spread=min(width, depth),
        is_round=is_round,
    )
    stand = _STANDS[rng.choice(list(_STANDS), p=[0.5, 0.2, 0.15, 0.15])]
    return solids + stand(frame, rng)


@dataclass(frozen=True)
class _Frame:
    """What a stand must fit under: the top's lower side, and half a footprint."""

    under: float
    x: float
    z: float
    height: float
    spread: float
    is_round: bool


def _four_legs(frame: _Frame, rng: np.random.Generator) -> list[Solid]:
    under, x, z = frame.under, frame.x, frame.z
    solids: list[Solid] = []
    top, tip = rng.uniform(0.035, 0.05), rng.uniform(0.025, 0.04)
    splay, square = rng.uniform(0.9, 1.08), rng.random() < 0.5
    for sx in (-1, 1):
        for sz in (-1, 1):
            joint = np.array([sx * x * 0.94, under, sz * z * 0.94])
            foot = np.array([sx * x * splay, tip, sz * z * splay])
            solids.append(bar(joint, foot, top) if square else RoundCone(joint, foot, top, tip))
    if not frame.is_round and rng.random() < 0.4:
        half = rng.uniform(0.04, 0.07)
        for sz in (-1, 1):
            solids.append(box([0, under - half, sz * z * 0.94], [x * 0.94, half, 0.022], 0.005))
    if not frame.is_round and rng.random() < 0.3:
        level = rng.uniform(0.2, 0.45) * frame.height
        solids.append(box([0, level, 0], [x * 0.96, 0.022, z * 0.96], 0.01))
    return solids


def _pedestal(frame: _Frame, rng: np.random.Generator) -> list[Solid]:
    under = frame.under
    column, spread = rng.uniform(0.05, 0.09), rng.uniform(0.4, 0.6) * frame.spread
    return [
        lathe([(0, 0), (spread, 0), (spread, 0.03), (column, 0.1), (column, 0.85 * under),
               (2 * column, under), (0, under)])
    ]  # fmt: skip


def _trestle(frame: _Frame, rng: np.random.Generator) -> list[Solid]:
    under, x, z, level = frame.under, frame.x, frame.z, 0.4 * frame.height
    solids: list[Solid] = []
    half = rng.uniform(0.028, 0.04)
    for sx in (-1, 1):
        for sz in (-1, 1):
            joint = np.array([sx * x * 0.8, under, sz * z * 0.25])
            solids.append(bar(joint, np.array([sx * x * 0.8, half, sz * z]), half))
    solids.append(box([0, level, 0], [x * 0.8, 0.03, 0.03], 0.008))
    for sx in (-1, 1):
        solids.append(box([sx * x * 0.8, level, 0], [0.03, 0.03, z * 0.7], 0.008))
    return solids


def _slabs(frame: _Frame, rng: np.random.Generator) -> list[Solid]:
    under, x, z = frame.under, frame.x, frame.z
    half = rng.uniform(0.03, 0.05)
    solids: list[Solid] = [
        box([sx * x, under / 2, 0], [half, under / 2, z], 0.01) for sx in (-1, 1)
    ]
    if rng.random() < 0.5:
        solids.append(box([0, under * 0.75, -z * 0.8], [x, under * 0.25, 0.025], 0.008))
    return solids


_STANDS = {"four": _four_legs, "pedestal": _pedestal, "trestle": _trestle, "slab": _slabs}
