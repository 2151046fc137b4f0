"""Second stage of models of many things: one flow map for names, and for points.

Each draw of the data is encoded once: whole, as a sample stands, or in the place of a scan of it
(`scans.py`), which is encoded beside it. The latter teach what shapes there are through given
points, whose latent is as wrong as few, noisy or one-sided points make it; zeros say that none are
given. Some examples are not told their category; of the others some are guided, with a weight
that the network reads (`objectives/guided.py`), so that guidance costs no evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geoflow.condition import ANY, Condition
from geoflow.couplings import Coupling
from geoflow.models.volumes import VolumeGenerator
from geoflow.objectives import Guide, Pool
from geoflow.seeds import step_generator
from geoflow.training.precision import autocast
from geoflow.training.stages.latent_flow import (
    ENCODING,
    FlowTraining,
    LatentFlowStage,
    Latents,
)
from geoflow.training.stages.scans import (
    Scan,
    ScanOptions,
    draw_number,
    mirrored_at_random,
    scan,
    spare,
)
from geoflow.typing import Count, ShapeBatch, Share

# Draws that are encoded at once; the points of one scan have one number.
_CHUNK = 16


@dataclass(frozen=True)
class VolumeFlowTraining(FlowTraining):
    """Options of the second stage of a model of many things."""

    fuses = False
    """Its time is in products of many tokens."""
    batch: Count = 64
    """Latents of a step."""
    num_surface: Count = 2048
    """Surface points that the encoder reads for each whole shape."""
    draws: Count = 24_000
    """Draws of the data that are encoded, with `mirror` each mirrored by a coin; at most as the
    steps need."""
    completing: Share = 0.5
    """Share of draws that are scans."""
    scans: ScanOptions = field(
        default_factory=lambda: ScanOptions(
            bare=0.8, cut=0.3, turned=0.0, smallest=0.93, dense=0.0, most=1024
        )
    )
    """What is shown of a shape."""
    unnamed: Share = 0.15
    """Share of whole shapes that are not told their category."""
    unnamed_scans: Share = 0.5
    """Likewise of scans."""
    guided: Share = 0.5
    """Share of named shapes whose category is guided."""
    most_guidance: float = 4.0
    """Largest weight of the category."""

    def build_coupling(self) -> Coupling:
        """The coupling named by `coupling`; errors as of the base class, and for pooled targets."""
        if self.targets != "pair":
            raise ValueError(
                "latents that are given points have no pool: leave --targets pooled out"
            )
        return super().build_coupling()


class VolumeFlowStage(LatentFlowStage):
    """Trains the flow map of a generator of many things."""

    model: VolumeGenerator
    options_type = VolumeFlowTraining

    @classmethod
    def fine_tuning(cls) -> VolumeFlowTraining:
        """As of other generators, on fewer draws."""
        plain = LatentFlowStage.fine_tuning()
        return VolumeFlowTraining(
            steps=plain.steps,
            diagonal_first=plain.diagonal_first,
            schedule=plain.schedule,
            draws=4_000,
        )

    @torch.no_grad()
    def encode(self) -> Latents:
        """Latents of random draws, in half precision, each with that of its scan, or with zeros."""
        options: VolumeFlowTraining = self.options
        context = self.context
        self.model.autoencoder.eval()
        generator = step_generator(context.seed, "latents", 0)
        # More than the steps draw would be encoded for nothing; a scale is fitted to two at least.
        num = max(2, min(options.draws, options.steps * options.batch))
        chosen = torch.randint(len(context.data), (num,), generator=generator)
        tokens: list[Tensor] = []
        parts: dict[str, list[Tensor]] = {}
        for indices in chosen.split(_CHUNK):
            whole, seen = self._draw(indices, generator)
            tokens.append(self._encoded_points(whole.surface, whole.normals).half())
            given = torch.zeros_like(tokens[-1])
            if seen is not None:
                given = self._encoded_points(seen.points, seen.normals, seen.oriented).half()
            context.watch(ENCODING, sum(map(len, tokens)), num)
            for name, part in replace(whole.condition, tokens=given).parts().items():
                parts.setdefault(name, []).append(part)
        condition = {name: torch.cat(chunks) for name, chunks in parts.items()}
        return Latents(torch.cat(tokens), Condition(**condition))

    @property
    def _is_guided(self) -> bool:
        """Whether the network reads guidance and points; those of earlier versions do not."""
        guided: bool = self.model.config.transformer.guided
        return guided

    def _draw(
        self, indices: Int[Tensor, " b"], generator: torch.Generator
    ) -> tuple[ShapeBatch, Scan | None]:
        """Shapes as the encoder is to see them whole, and their scan, if these are to be scans."""
        options: VolumeFlowTraining = self.options
        is_scan = bool(torch.rand(1, generator=generator) < options.completing)
        num = draw_number(options.scans, generator)
        shapes = self.context.data.batch(
            indices.numpy(),
            num_surface=max(options.num_surface, spare(num)),
            num_queries=1,
            generator=generator,
        )
        if options.mirror:
            shapes = mirrored_at_random(shapes, generator)
        assert shapes.normals is not None, "shapes with fields have normals"
        first = slice(options.num_surface)
        surface, normals = shapes.surface[:, first], shapes.normals[:, first]
        if not is_scan:
            return replace(shapes, surface=surface, normals=normals), None
        # Samples stand upright: size and place differ, and what is seen. All points are placed
        # along, as queries are.
        placed = replace(shapes, queries=surface, sdf=torch.zeros(surface.shape[:2]))
        seen = scan(placed, replace(options.scans, turned=0.0), num, generator)
        return replace(shapes, surface=seen.queries, normals=normals), seen

    def _encoded_points(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        oriented: bool = True,
    ) -> Float[Tensor, "b k c"]:
        device = self.context.device
        known = None if normals is None else normals.to(device)
        with autocast(self.options.bf16, device):
            encoded = self.model.encode(points.to(device), known, oriented=oriented)
        return encoded.float().cpu()

    def prepare(self) -> None:
        """Scaled latents of all draws and of their scans, encoded once per run."""
        super().prepare()
        assert self._latents is not None, "just made"
        tokens, cond = self._latents
        given = torch.zeros_like(tokens) if cond.tokens is None else cond.tokens
        seen = given.flatten(1).any(1)
        scans = torch.zeros_like(tokens, dtype=torch.half)
        scale = self.model.scale.to("cpu")
        frame = None if cond.frame is None else cond.frame[seen]
        scans[seen] = scale.normalise(given[seen].float(), frame).half()
        scale.to(self.context.device)
        self._latents = Latents(tokens.half(), replace(cond, tokens=scans))

    def told(self, cond: Condition, generator: torch.Generator) -> Condition:
        """Of some their category is kept back, and of others it is guided."""
        options: VolumeFlowTraining = self.options
        if not self._is_guided:
            return replace(cond, tokens=None)
        assert cond.category is not None, "encoded together"
        assert cond.tokens is not None, "encoded together"
        chance, guided, place = torch.rand(3, len(cond.category), generator=generator)
        is_scan = cond.tokens.flatten(1).any(1)
        kept = torch.where(is_scan, options.unnamed_scans, options.unnamed)
        is_named = chance >= kept
        # Even in 1 - 1 / weight, as the network reads it.
        weight = 1 / (1 - place * (1 - 1 / options.most_guidance))
        has_weight = is_named & ~is_scan & (guided < options.guided)
        return replace(
            cond,
            category=torch.where(is_named, cond.category, ANY),
            tokens=cond.tokens.float(),
            guidance=torch.where(has_weight, weight, 1.0),
        )

    def pool(self) -> Pool | Guide | None:
        """What moves the targets: a guide."""
        return Guide(self.slow) if self._is_guided else None
