"""Scans of made shapes and of packed meshes, encoded: what samples of `shapes` may go through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from geoflow.geometry.read_mesh import MeshError
from geoflow.models.volumes import VolumeGenerator
from geoflow.training.precision import autocast
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_tools.fit_jumps.solutions import Encoded
from geoflow_tools.train_shapes.batches import Amounts, Draw, FlowDraws, Shapes, jobs_of
from geoflow_tools.train_shapes.growing import GrowingBank, make
from geoflow_tools.train_shapes.packed import PackedMeshes

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_ONCE = 16
_POINTS = {"made": 2048, "real": 4096}


def make_shapes(
    model: VolumeGenerator, meshes: PackedMeshes, amounts: Amounts, num_meshes: int, folder: Path
) -> Shapes:
    """Shapes of all sources, made here and now; those that cannot be made are left out."""
    made, real = jobs_of(meshes, amounts)
    banks = {
        name: GrowingBank(folder / name, jobs, _POINTS[name], 64)
        for name, jobs in (("made", made), ("real", real[:num_meshes]))
    }
    for bank in banks.values():
        for row, job in enumerate(bank.jobs):
            try:
                bank.put(row, make(job, bank, meshes))
            except (MeshError, RuntimeError, ValueError):
                continue
    return Shapes(banks["made"], banks["real"], model.categories)


@torch.no_grad()
def encode_scans(model: VolumeGenerator, shapes: Shapes, num: int) -> Iterator[Encoded]:
    """Scans as the flow of `shapes` is trained on, in the scale of its latents, 64 at a time."""
    draws = FlowDraws(shapes, num, replace(VolumeFlowTraining(), completing=1.0))
    for number in range(len(draws)):
        draw = Draw(*draws[number])
        assert draw.points is not None, "all are scans"
        tokens = []
        for rows in torch.arange(len(draw.points)).split(_AT_ONCE):
            known = None if draw.known is None else draw.known[rows]
            with autocast(None, "cpu"):
                found = model.encode(draw.points[rows], known, oriented=draw.oriented)
            tokens.append(model.scale.normalise(found.float(), None))
        yield Encoded(torch.cat(tokens), draw.category)
