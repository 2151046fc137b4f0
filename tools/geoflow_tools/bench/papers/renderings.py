"""Shaded chairs: procedural solids seen from a quarter in front, by a little more or less.

A narrow range of views leaves minutes of a small network to what differs between chairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track

from geoflow_datasets.procedural import make_solids
from geoflow_tools.bench.papers.edges import see, shade
from geoflow_tools.bench.papers.pictures import Pictures
from geoflow_viewer.projection import view_rotation

SIZE = 32
# Rays along an edge.
_RAYS = 2 * SIZE
# Degrees: above the horizon, and the range of those about the vertical, 0 from in front.
_ELEVATION = 20.0
_AZIMUTHS = (15.0, 45.0)


def renderings(num: int, held_out: int) -> Pictures:
    """Procedural chairs of 32 x 32 pixels from a quarter in front; to tell: view and sizes.

    Args:
        num: chairs of the training split.
        held_out: chairs of the test split in the reference, and in the other.
    """
    train, targets = _rendered("train", range(num))
    reference, told = _rendered("test", range(held_out))
    other, _ = _rendered("test", range(held_out, 2 * held_out))
    return Pictures(SIZE, train, reference, other, targets, told)


def _rendered(
    split: str, indices: Sequence[int]
) -> tuple[Float[torch.Tensor, "n d"], Float[torch.Tensor, "n m"]]:
    shown, told = [], []
    for index in track(indices, description=f"chairs, {split}"):
        azimuth = np.random.default_rng([index, 32]).uniform(*_AZIMUTHS)
        solids = make_solids("chair", index, split=split)
        _, met = see(solids, view_rotation(azimuth, _ELEVATION), _RAYS)
        picture = shade(met, SIZE)
        shown.append(2 * picture.ravel() - 1)
        turn = np.radians(azimuth)
        corners = np.concatenate([solid.corners() for solid in solids])
        told.append([np.sin(turn), np.cos(turn), *np.ptp(corners, axis=0), np.log(len(solids))])
    return torch.tensor(np.array(shown)).float(), torch.tensor(np.array(told)).float()
