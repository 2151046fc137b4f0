"""Batches of upright shapes, as both autoencoders and the encoding of latents take them."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.symmetry import Symmetry, upright_frame
from geoflow.typing import ShapeBatch, ShapeDataset


def draw_shapes(
    data: ShapeDataset,
    num: int,
    *,
    num_surface: int,
    num_queries: int,
    mirror: bool,
    generator: torch.Generator,
    device: torch.device | str,
) -> ShapeBatch:
    """Random shapes, each mirrored left to right by a coin where `mirror` says so."""
    indices = torch.randint(len(data), (num,), generator=generator)
    batch = data.batch(
        indices.numpy(), num_surface=num_surface, num_queries=num_queries, generator=generator
    )
    flip = torch.ones(num)
    if mirror:
        flip = torch.randint(2, (num,), generator=generator) * 2.0 - 1.0
    return mirrored(batch, flip, device)


def mirrored(
    batch: ShapeBatch, flip: Float[Tensor, " b"], device: torch.device | str
) -> ShapeBatch:
    """On the device, the x coordinate of shape i multiplied by flip[i] = +-1."""

    def turn(points: Tensor | None) -> Tensor | None:
        if points is None:
            return None
        scale = torch.ones(len(points), 1, 3)
        scale[:, 0, 0] = flip
        return (points * scale).to(device)

    surface = turn(batch.surface)
    assert surface is not None
    return replace(
        batch,
        surface=surface,
        normals=turn(batch.normals),
        queries=turn(batch.queries),
        sdf=None if batch.sdf is None else batch.sdf.to(device),
        condition=batch.condition.to(device),
    )


def frame_on(
    symmetry: Symmetry, num: int, device: torch.device | str
) -> Float[Tensor, "b m 3"] | None:
    """The upright frame of a symmetry, on a device."""
    frame = upright_frame(symmetry, num)
    return None if frame is None else frame.to(device)
