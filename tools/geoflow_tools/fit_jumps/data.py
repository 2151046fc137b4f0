"""Latents of shapes that samples are compared with: as `encode_mesh` reads them, twice more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoflow.models.latent import LatentGenerator
from geoflow.symmetry import upright_frame
from geoflow_datasets import PROCEDURAL, load, procedural
from geoflow_datasets.bank import ShapeBank
from geoflow_tools.fit_jumps.solutions import Encoded

AT_ONCE = 16


def shapes_of(
    model: LatentGenerator[Any],
    source: str,
    num: int,
    split: str = "train",
    only: tuple[str, ...] = (),
) -> tuple[ShapeBank, np.ndarray]:
    """Shapes of a split, and the rows of those whose category the model knows, or of only some.

    Raises:
        ValueError: if there is none, or the model does not know a category that is asked for.
    """
    unknown = sorted(set(only) - set(model.categories))
    if unknown:
        raise ValueError(f"the model knows {', '.join(model.categories)}; got {unknown[0]!r}")
    asked, at_hand = only or model.categories, tuple(procedural.CATEGORIES)
    if source != PROCEDURAL:
        bank = load(source, split=split).loaded()
        at_hand = tuple(bank.category_names[k] for k in np.unique(bank.categories))
    known = [name for name in asked if name in at_hand]
    if not known:
        asks = "--only asks for" if only else "the model knows"
        raise ValueError(
            f"{asks} {', '.join(asked)}, and {source} has {', '.join(at_hand)}: no category is of "
            f"both"
        )
    if source == PROCEDURAL:
        bank = load(source, ",".join(known), split=split, num=num).loaded()
    is_known = np.array([name in known for name in bank.category_names])
    rows = is_known[bank.categories].nonzero()[0][:num]
    return bank, rows


@torch.no_grad()
def encode_shapes(model: LatentGenerator[Any], bank: ShapeBank, rows: np.ndarray) -> Encoded:
    """Some of them, upright, in the scale of the model's latents."""
    points, normals = (
        torch.from_numpy(np.asarray(values[rows], dtype=np.float32))
        for values in (bank.surface, bank.normals)
    )
    index = [model.categories.index(bank.category_names[k]) for k in bank.categories[rows]]
    tokens = model.encode_mesh_points(points, normals)
    frame = upright_frame(model.config.symmetry, len(tokens))
    return Encoded(model.scale.normalise(tokens, frame), torch.tensor(index))


def encoded_parts(
    model: LatentGenerator[Any], bank: ShapeBank, rows: np.ndarray
) -> Iterator[Encoded]:
    """All of them, a few at a time."""
    for some in torch.from_numpy(rows).split(AT_ONCE):
        yield encode_shapes(model, bank, some.numpy())


def joined(parts: list[Encoded]) -> Encoded:
    """All of them as one."""
    tokens: list[Tensor] = [part.tokens for part in parts]
    return Encoded(torch.cat(tokens), torch.cat([part.category for part in parts]))


def read_data(folder: Path, pattern: str) -> Encoded:
    """What several processes wrote.

    Raises:
        FileNotFoundError: if there is none.
        DamagedError: for a file that is no such.
    """
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise FileNotFoundError(f"{folder} has no {pattern}: `fit_jumps data` writes them")
    return joined([Encoded.load(path) for path in paths])
