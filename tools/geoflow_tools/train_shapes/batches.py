"""What is drawn: batches of the autoencoder's steps, and draws that the flow learns from.

Both are functions of their number and of which rows are ready, made by a loader's processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from geoflow.condition import Condition
from geoflow.seeds import step_generator
from geoflow.training.stages.scans import (
    Scan,
    ScanOptions,
    draw_number,
    mirrored_at_random,
    scan,
    spare,
)
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow.typing import ShapeBatch
from geoflow_datasets import procedural, universe
from geoflow_tools.train_shapes.growing import GrowingBank, Job, step_aside
from geoflow_tools.train_shapes.packed import PackedMeshes

ASSEMBLY = "assembly"
# Shares of the autoencoder's batches: real meshes, deformed copies of them, the procedural
# categories, random assemblies, the other things of the universe.
_SHARES = {"mesh": 0.14, "copy": 0.26, "procedural": 0.22, ASSEMBLY: 0.12, "universe": 0.26}
# Weights of categories in the draws of the flow: the procedural ones, those that the universe has,
# and of the others the root of their number of meshes.
_PROCEDURAL, _MADE, _ROOT = 3.0, 2.0, 0.16
_DRAWN_AT_ONCE = 64
# Numbers of points are rounded to these: each is a graph of its own on a GPU.
_NUMBERS = (48, 96, 192, 384, 768, 1536, 2048)
_POINTS = 2048


@dataclass(frozen=True)
class Amounts:
    """How many shapes are made."""

    procedural: int = 12_000
    universe: int = 7_800
    assemblies: int = 2_400
    copies: int = 3
    """Deformed copies of each mesh."""


def jobs_of(meshes: PackedMeshes, amounts: Amounts) -> tuple[tuple[Job, ...], tuple[Job, ...]]:
    """Shapes that are made by seed, and meshes with their copies."""
    main, things = list(procedural.CATEGORIES), [c for c in universe.CATEGORIES if c != ASSEMBLY]
    made: list[Job] = []
    for source, names, num, until in (
        ("procedural", main, amounts.procedural, 0.8),
        ("universe", things, amounts.universe, 0.9),
        ("universe", [ASSEMBLY], amounts.assemblies, 0.9),
    ):
        made += [
            Job(source, names[i % len(names)], i // len(names), until * i / num)  # type: ignore[arg-type]
            for i in range(num)
        ]
    names = list(np.random.default_rng(0).permutation(sorted(meshes.parts)))
    real = [Job("mesh", str(name), 0, 0.12 * i / len(names)) for i, name in enumerate(names)]
    for copy in range(1, amounts.copies + 1):
        for i, name in enumerate(names):
            when = 0.1 + 0.9 * (copy - 1 + i / len(names)) / amounts.copies
            real.append(Job("mesh", str(name), copy, when))
    return tuple(made), tuple(real)


@dataclass(frozen=True)
class Shapes:
    """Both banks, counted by the categories of a model."""

    made: GrowingBank
    real: GrowingBank
    categories: tuple[str, ...]

    @cached_property
    def made_labels(self) -> np.ndarray:
        """Index of the category of each row that is made; -1 where the model does not have it."""
        return self._labels(self.made)

    @cached_property
    def real_labels(self) -> np.ndarray:
        """Likewise of meshes."""
        return self._labels(self.real)

    @cached_property
    def is_own(self) -> np.ndarray:
        """Which rows that are made are of the procedural family."""
        return self.made.where(lambda job: job.source == "procedural")

    @cached_property
    def is_assembly(self) -> np.ndarray:
        """Which of them are random assemblies."""
        return self.made.where(lambda job: job.name == ASSEMBLY)

    @cached_property
    def is_mesh(self) -> np.ndarray:
        """Which rows of meshes are meshes as they are, not copies."""
        return self.real.where(lambda job: job.index == 0)

    def _labels(self, bank: GrowingBank) -> np.ndarray:
        index = {name: i for i, name in enumerate(self.categories)}
        return np.array([index.get(job.category, -1) for job in bank.jobs])

    def batch(
        self,
        made: np.ndarray,
        real: np.ndarray,
        num_surface: int,
        num_queries: int,
        rng: np.random.Generator,
    ) -> ShapeBatch:
        """Random points of rows that are made, then of rows of meshes."""
        parts = [
            bank.take(rows, num_surface, num_queries, rng)
            for bank, rows in ((self.made, made), (self.real, real))
        ]
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        label = np.concatenate([self.made_labels[made], self.real_labels[real]])
        condition = Condition(category=torch.from_numpy(label))
        return ShapeBatch(condition=condition, **joined)


@dataclass(frozen=True)
class AutoencoderSteps(Dataset[Scan]):
    """Scans of random shapes, as `VolumeAutoencoderStage` draws them, by the number of the step."""

    shapes: Shapes
    batch: int
    num_queries: int
    scans: ScanOptions
    seed: int = 0

    def __len__(self) -> int:
        """More than any training takes."""
        return 10_000_000

    def __getitem__(self, step: int) -> Any:
        """The scan of a step, as a tuple: a loader copies those."""
        generator, rng = _random(self.seed, "autoencoder", step)
        made, real = self._rows(rng)
        num = draw_number(self.scans, generator)
        if num <= _NUMBERS[-1]:
            num = min(_NUMBERS, key=lambda number: abs(math.log(number / num)))
        batch = self.shapes.batch(made, real, spare(num), self.num_queries, rng)
        seen = scan(mirrored_at_random(batch, generator), self.scans, num, generator)
        return seen.points, seen.normals, seen.oriented, seen.queries, seen.sdf

    def _rows(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shapes = self.shapes
        made, real = shapes.made.ready, shapes.real.ready
        own, assembly, mesh = shapes.is_own, shapes.is_assembly, shapes.is_mesh
        groups = {
            "mesh": real & mesh, "copy": real & ~mesh, "procedural": made & own,
            ASSEMBLY: made & assembly, "universe": made & ~own & ~assembly,
        }  # fmt: skip
        share = np.array([_SHARES[name] if which.any() else 0.0 for name, which in groups.items()])
        counts = rng.multinomial(self.batch, share / share.sum())
        drawn = {
            name: rng.choice(np.flatnonzero(which), count) if count else np.zeros(0, int)
            for (name, which), count in zip(groups.items(), counts, strict=True)
        }
        is_real = ("mesh", "copy")
        return (
            np.concatenate([rows for name, rows in drawn.items() if name not in is_real]),
            np.concatenate([drawn[name] for name in is_real]),
        )


class Draw(NamedTuple):
    """Shapes as the encoder is to see them whole, and a scan of them or None."""

    surface: Tensor
    normals: Tensor
    points: Tensor | None
    known: Tensor | None
    oriented: bool
    category: Tensor


@dataclass(frozen=True)
class FlowDraws(Dataset[Draw]):
    """Draws of the data, as `VolumeFlowStage` encodes them, by number.

    A category of the procedural family is that family, with one mesh in ten draws, as it stands:
    mirror images are no part of it. Others are what there is, mirrored by a coin.
    """

    shapes: Shapes
    num: int
    options: VolumeFlowTraining
    seed: int = 0

    def __len__(self) -> int:
        """Draws come by 64."""
        return -(-self.num // _DRAWN_AT_ONCE)

    def __getitem__(self, number: int) -> Draw:
        """A draw of 64 shapes."""
        generator, rng = _random(self.seed, "latents", number)
        made, real = self._rows(rng)
        shapes = self.shapes
        whole = shapes.batch(made, real, _POINTS, 1, rng)
        flip = torch.ones(len(made) + len(real), 1, 3)
        flip[len(made) :, 0, 0] = torch.randint(2, (len(real),), generator=generator) * 2.0 - 1
        assert whole.normals is not None, "shapes with fields have normals"
        surface, normals = whole.surface * flip, whole.normals * flip
        category = whole.condition.category
        assert category is not None, "named above"
        if torch.rand(1, generator=generator) >= self.options.completing:
            return Draw(surface, normals, None, None, True, category)
        scans = replace(self.options.scans, turned=0.0)
        num = draw_number(scans, generator)
        placed = replace(
            whole,
            surface=surface,
            normals=normals,
            queries=surface,
            sdf=torch.zeros(surface.shape[:2]),
        )
        seen = scan(placed, scans, num, generator)
        return Draw(seen.queries, normals, seen.points, seen.normals, seen.oriented, category)

    def _rows(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shapes, chances = self.shapes, self.chances()
        made, real = shapes.made.ready, shapes.real.ready
        found: dict[bool, list[int]] = {True: [], False: []}
        for label in rng.choice(len(chances), _DRAWN_AT_ONCE, p=chances):
            own = shapes.categories[label] in procedural.CATEGORIES
            of_made = made & (shapes.made_labels == label) & (shapes.is_own | (not own))
            meshes = real & (shapes.real_labels == label)
            choices = [
                (True, np.flatnonzero(of_made), 0.9 if own else 0.5),
                (False, np.flatnonzero(meshes & shapes.is_mesh), 0.1 if own else 0.25),
                (False, np.flatnonzero(meshes), 0.0 if own else 0.25),
            ]
            weight = np.array([w if len(rows) else 0.0 for _, rows, w in choices])
            if weight.sum() > 0:
                which, rows, _ = choices[rng.choice(3, p=weight / weight.sum())]
                found[which].append(int(rng.choice(rows)))
        return np.array(found[True], dtype=int), np.array(found[False], dtype=int)

    def chances(self) -> np.ndarray:
        """Chance of each category."""
        names = self.shapes.categories
        meshes = [job.category for job in self.shapes.real.jobs if job.index == 0]
        weight = np.array([_ROOT * meshes.count(name) ** 0.5 for name in names])
        for i, name in enumerate(names):
            if name in procedural.CATEGORIES:
                weight[i] = _PROCEDURAL
            elif name in universe.CATEGORIES:
                weight[i] = _MADE
        return weight / weight.sum()


def loader(data: Dataset[Any], workers: int, device: torch.device) -> DataLoader[Any]:
    """Items in their order, made ahead by processes."""
    return DataLoader(
        data,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=device.type == "cuda",
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=step_aside if workers else None,
    )


def _random(seed: int, what: str, number: int) -> tuple[torch.Generator, np.random.Generator]:
    generator = step_generator(seed, what, number)
    return generator, np.random.default_rng([seed, len(what), number])
