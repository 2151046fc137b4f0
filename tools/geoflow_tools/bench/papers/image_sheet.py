"""A sheet of samples: a row for each way of training, a column for each number of evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from geoflow_tools.bench.papers.pictures import Pictures

_ACROSS, _GAP = 6, 2


def draw_sheet(
    drawn: Mapping[str, Mapping[str, Tensor]], pictures: Pictures, path: Path, *, dpi: int = 110
) -> None:
    """Write the first samples of all, from the same noise, below pictures that were held out."""
    columns = list(next(iter(drawn.values())))
    figure = Figure(figsize=(2.2 * len(columns) + 1.3, 0.42 * (len(drawn) + 1) + 0.2))
    axes = figure.subplots(len(drawn) + 1, len(columns), squeeze=False)
    every = len(pictures.reference) // (_ACROSS * len(columns))
    for column, name in enumerate(columns):
        held_out = pictures.reference[column * _ACROSS * every :: every]
        shown = {"held out": held_out} | {row: found[name] for row, found in drawn.items()}
        for axis, (row, samples) in zip(axes[:, column], shown.items(), strict=True):
            axis.imshow(_strip(samples, pictures.size), cmap="gray", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if column == 0:
                axis.set_ylabel(row, rotation=0, ha="right", va="center", fontsize=8)
        axes[0, column].set_title(name, fontsize=8, pad=3)
    figure.subplots_adjust(left=0.13, right=0.995, top=0.94, bottom=0.01, wspace=0.03, hspace=0.08)
    figure.savefig(path, dpi=dpi)


def _strip(samples: Float[Tensor, "n d"], size: int) -> Float[np.ndarray, "h w"]:
    """The first few side by side, white between them."""
    tiles = samples[:_ACROSS].reshape(-1, size, size).numpy().clip(-1, 1)
    framed = np.pad(tiles, ((0, 0), (0, 0), (0, _GAP)), constant_values=1)
    strip: np.ndarray = np.concatenate(list(framed), axis=1)
    return strip
