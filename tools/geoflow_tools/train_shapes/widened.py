"""An autoencoder with more channels and a finer volume that is, at first, the one it grew from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from geoflow.backbones.volume_field import VolumeAutoencoder


@torch.no_grad()
def widen(small: VolumeAutoencoder, large: VolumeAutoencoder) -> None:
    """Give the large one the weights of the small one; what is new adds nothing yet.

    The two may differ in the number of blocks, in the channels of the finest volume but one, and in
    a fifth volume. A network that mends fields is left behind: it knows those of the small one.

    Raises:
        ValueError: if they differ in anything else.
    """
    free = ("widths", "fine_blocks", "residual")
    sizes: dict[str, Any] = {name: getattr(small.config, name) for name in free}
    if replace(large.config, **sizes) != small.config:
        raise ValueError(f"{small.config} cannot be widened to {large.config}")
    was, state = small.state_dict(), large.state_dict()
    few, third = small.config.widths[3], small.config.widths[2]
    rules = {
        "encoder.read.2.weight": _first_rows,
        "encoder.read.2.bias": _first_rows,
        "decoder.up_finest.bias": _first_rows,
        "decoder.finest.bias": _first_rows,
        "decoder.up_finest.weight": lambda new, old: _set(new[:, :few], old),
        "encoder.down_fine.weight": lambda new, old: _columns(new, old, few),
        "decoder.read.weight": lambda new, old: _columns(new, old, third + few),
        "decoder.finest.weight": _square,
    }
    for name, new in state.items():
        old = was.get(name)
        if old is None:
            if name.startswith("encoder.down_detail") or ".second." in name:
                new.zero_()
        elif old.shape == new.shape:
            new.copy_(old)
        elif name in rules:
            rules[name](new, old)
        else:
            raise ValueError(f"{name} cannot be widened from {tuple(old.shape)}")
    large.load_state_dict(state)


def _set(new: Tensor, old: Tensor) -> None:
    new.copy_(old)


def _first_rows(new: Tensor, old: Tensor) -> None:
    new[: len(old)] = old


def _columns(new: Tensor, old: Tensor, first: int) -> None:
    """The first inputs are the first, the last ones the last; those between are not read."""
    new.zero_()
    new[:, :first] = old[:, :first]
    new[:, new.shape[1] - (old.shape[1] - first) :] = old[:, first:]


def _square(new: Tensor, old: Tensor) -> None:
    """What there was before reads nothing of what is new."""
    num = len(old)
    new[:num] = nn.functional.pad(old, (0, 0, 0, 0, 0, 0, 0, new.shape[1] - num))
