"""A second encoder of fields learns to read scans; all else, and every sample, stays as it is.

    L = E |clamp(f, c) - clamp(d, c)| / c + w BCE(k f, d > 0) + u |z - z*|^2 + |box - box*|

f is the field that the fixed decoder makes of its tokens z of a scan: few or many points,
without normals or with them, noisy, uneven or cut (`scans.py`). d are the distances of the whole,
clean shape, and z* the tokens that the encoder of clean points makes of them, with their normals:
at first they are all that is learnt from, since they cost no decoding. Users' points are placed by
their own box, which is not that of their surface; so the encoder tells the latter, and half of the
scans are placed by the former. The answer to bare points is read again with the normals of its own
field, as completion does it, once or twice in a part of the steps.

References: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531;
recycling, Jumper et al., "Highly accurate protein structure prediction with AlphaFold", 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geoflow.backbones.field import FieldAutoencoder
from geoflow.backbones.shape_encoder import Box, ScanEncoder
from geoflow.models.fields import Generator
from geoflow.models.refinement import outward_normals
from geoflow.objectives import Losses
from geoflow.training.optimisation import Schedule
from geoflow.training.stages.autoencoder_part import AutoencoderPartStage
from geoflow.training.stages.field_autoencoder import FieldLoss, field_loss
from geoflow.training.stages.scans import (
    Scan,
    ScanOptions,
    draw_number,
    mirrored_at_random,
    scan,
    spare,
)
from geoflow.training.stages.shapes import frame_on
from geoflow.typing import Count, Extra, NonNegative, Share

# Points of the clean surface that the tokens to be learnt are made of, at most.
_CLEAN = 1024


def _upright_scans() -> ScanOptions:
    """Of things that stand upright, as the decoder draws them."""
    return ScanOptions(bare=0.7, dense=0.0, turned=0.0, shifted=0.01, smallest=0.99)


@dataclass(frozen=True)
class FieldScanTraining(FieldLoss):
    """Options of the stage."""

    steps: int = 10_000
    """Optimiser steps."""
    batch: Count = 16
    """Shapes of a step."""
    num_queries: Count = 512
    """Query points of a shape in a step."""
    latent_first: Share = 0.2
    """Share of the run, at its start, that learns from tokens and boxes alone."""
    latent_weight: NonNegative = 0.2
    """Weight of the tokens' error afterwards."""
    own_box: Share = 0.5
    """Share of scans that are placed by the box of their own points."""
    recycle: Extra = 2
    """Times at most that bare points are given the normals of the answer's own field; a step draws
    evenly from 0."""
    ema: float = 0.998
    """Decay of the moving average of the weights."""
    schedule: Schedule = field(default_factory=lambda: Schedule(learning_rate=2e-3))
    """Learning rate."""
    scans: ScanOptions = field(default_factory=_upright_scans)
    """What is shown of a shape."""

    def __post_init__(self) -> None:
        """Check what no type tells.

        Raises:
            ValueError: for scans of turned shapes, whose boxes are not those of the shapes.
        """
        if self.scans.turned:
            raise ValueError(
                f"scans of fields stand upright: turned must be 0, got {self.scans.turned}"
            )


class Lesson(NamedTuple):
    """What a step learns from."""

    scan: Scan
    clean: Float[Tensor, "b m 3"]
    """Points of the whole surface, placed as the scan."""
    normals: Float[Tensor, "b m 3"]
    box: Box
    """Of the whole surface, placed as the scan."""
    is_own: Bool[Tensor, " b"]
    """Which scans are placed by the box of their own points."""
    recycle: int
    """Times that they are given the normals of the answer's own field."""


class FieldScanStage(AutoencoderPartStage[Generator, Lesson]):
    """Trains an encoder of scans for a `Generator`."""

    name = "scans"
    options_type = FieldScanTraining
    is_optional: ClassVar[bool] = True

    def add_part(self) -> None:
        """An encoder of scans."""
        self.model.read_scans()

    @property
    def part(self) -> ScanEncoder:
        """It."""
        return _scan_encoder(self.module)

    def batch(self, generator: torch.Generator) -> Lesson:
        """Scans of random shapes, mirrored at random."""
        options: FieldScanTraining = self.options
        num, data = draw_number(options.scans, generator), self.context.data
        indices = torch.randint(len(data), (options.batch,), generator=generator)
        drawn = data.batch(
            indices.numpy(),
            num_surface=max(spare(num), _CLEAN),
            num_queries=options.num_queries,
            generator=generator,
        )
        shapes = mirrored_at_random(drawn, generator)
        normals, queries, sdf = shapes.field()
        # What is placed as queries are goes among them: clean points, and the ends of half an edge.
        clean = shapes.surface[:, :_CLEAN]
        ends = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).expand(options.batch, 2, 3)
        placed = torch.cat([queries, clean, ends], 1)
        unasked = sdf.new_zeros(options.batch, placed.shape[1] - options.num_queries)
        shapes = replace(shapes, queries=placed, sdf=torch.cat([sdf, unasked], 1))
        is_own = torch.rand(options.batch, generator=generator) < options.own_box
        seen = _in_own_box(scan(shapes, options.scans, num, generator), is_own)
        queries, clean, ends = seen.queries.split([options.num_queries, _CLEAN, 2], 1)
        box = Box(ends[:, 0], (ends[:, 1] - ends[:, 0]).norm(dim=-1))
        seen = replace(seen, queries=queries, sdf=seen.sdf[:, : options.num_queries])
        recycle = int(torch.randint(options.recycle + 1, (), generator=generator))
        recycle = 0 if seen.oriented else recycle
        return _on(
            self.context.device, Lesson(seen, clean, normals[:, :_CLEAN], box, is_own, recycle)
        )

    def loss(self, batch: Lesson, step: int, generator: torch.Generator) -> Losses:
        """Distance and sign of the decoded field, the tokens' error, and the box's."""
        options: FieldScanTraining = self.options
        seen, module = batch.scan, self.module
        frame = frame_on("frame", len(seen.points), self.context.device)
        centre = torch.zeros_like(batch.box.centre)
        normals = seen.normals if seen.oriented else None
        for _ in range(batch.recycle):
            with torch.no_grad():
                answer, _ = _scan_encoder(module).with_box(seen.points, normals, frame, centre)
            normals = outward_normals(module, answer, seen.points, None, frame)
        tokens, box = _scan_encoder(module).with_box(seen.points, normals, frame, centre)
        with torch.no_grad():
            goal = module.encoder(batch.clean, batch.normals, frame, centre)
        away = (tokens.float() - goal.float()).square().mean((1, 2))
        latent = torch.where(batch.is_own, 0.0, away)
        placing = (box.centre.float() - batch.box.centre).abs().sum(1)
        placing = placing + (box.half.float() / batch.box.half).log().abs()
        terms = {"latent": latent, "box": placing}
        if step < options.latent_first * options.steps:
            return Losses(latent + placing, terms)
        predicted = module.decode(tokens, seen.queries, frame)
        distance, sign = field_loss(predicted.float(), seen.sdf, options)
        total = distance + options.sign_weight * sign + options.latent_weight * latent + placing
        return Losses(total, {"distance": distance, "sign": sign, **terms})


def _scan_encoder(module: FieldAutoencoder) -> ScanEncoder:
    assert module.scan_encoder is not None, "made with the stage"
    return module.scan_encoder


def _in_own_box(seen: Scan, which: Bool[Tensor, " b"]) -> Scan:
    """Some scans placed by the box of their points, as those of users are."""
    low, high = seen.points.amin(1), seen.points.amax(1)
    centre = torch.where(which[:, None], (low + high) / 2, 0.0)[:, None]
    half = torch.where(which, (high - low).amax(1) / 2, 1.0)
    points, queries = ((v - centre) / half[:, None, None] for v in (seen.points, seen.queries))
    return replace(seen, points=points, queries=queries, sdf=seen.sdf / half[:, None])


def _on(device: torch.device | str, lesson: Lesson) -> Lesson:
    """The same on a device."""
    seen, clean, normals, box, is_own, recycle = lesson
    return Lesson(
        seen.to(device),
        clean.to(device),
        normals.to(device),
        Box(box.centre.to(device), box.half.to(device)),
        is_own.to(device),
        recycle,
    )
