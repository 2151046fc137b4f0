"""Pictures of samples and reconstructions for documents.

`python -m geoflow_tools.contact_sheet --out sheet.png` draws samples of a model at several step
counts from the same noise; with --data, shapes and their reconstructions above them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import trimesh
import tyro

from geoflow.geometry.extraction import extract_mesh
from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.read_mesh import read_mesh
from geoflow.geometry.read_points import is_cloud, read_points
from geoflow.geometry.sdf import Solid, union_distance
from geoflow.models.kinds import describe_kind
from geoflow.models.latent import Shape
from geoflow.typing import ShapeDataset
from geoflow_datasets import MADE, PROCEDURAL, UNIVERSE, load
from geoflow_datasets.procedural import make_solids
from geoflow_datasets.sources import Gives
from geoflow_datasets.universe import make_triangles
from geoflow_tools.validation.samples import sample_rows
from geoflow_viewer.picture import contact_sheet


@dataclass(frozen=True)
class Options:
    """Draw samples of a model."""

    out: Path
    """PNG file to write."""
    model: str = "chair"
    """Shipped model, or a folder."""
    num: int = 8
    """Samples in a row."""
    steps: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (1, 2, 4)
    """Step counts of the flow map, a row each."""
    ode_steps: int | None = 50
    """Steps of the ODE for the last row."""
    data: str | None = None
    """Show shapes and reconstructions: 'procedural' (test split), or a folder of meshes."""
    category: str | None = None
    """Category of the data. Default: the model's first."""
    named: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Categories of the samples, rows of each; default: what the model makes unasked."""
    guidance: float | None = None
    """Weight of these categories, for a model trained with it."""
    join: tuple[float | None, ...] = (None,)
    """Levels at which parts of meshes are joined, rows of each; None: as the model chooses."""
    seed: int = 0
    """Seed of the noise."""
    resolution: int = 96
    """Cells of the extraction grid along an edge."""
    size: int = 150
    """Pixels of a tile."""


def procedural_mesh(category: str, index: int, *, resolution: int = 96) -> trimesh.Trimesh:
    """Mesh of one shape of the procedural test split."""
    return solids_mesh(make_solids(category, index, split="test"), resolution=resolution)


def solids_mesh(solids: Sequence[Solid], *, resolution: int) -> trimesh.Trimesh:
    """Mesh of the union of solids."""

    def field(points: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(union_distance(solids, points.double().numpy())).float()

    return extract_mesh(field, resolution=resolution).mesh


def universe_mesh(category: str, index: int) -> trimesh.Trimesh:
    """The mesh of a solid of the universe's test split."""
    corners = make_triangles(category, index, split="test")
    return trimesh.Trimesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))


def data_shapes(
    source: str, category: str, num: int, resolution: int, *, gives: Gives
) -> tuple[list[Shape], ShapeDataset, str]:
    """The first shapes of a source, their bank, and a label."""
    split = "test" if source in MADE else "train"
    made: list[Shape]
    bank: Any = load(source, category, gives=gives, split=split, num=num)
    if source == PROCEDURAL:
        made = [procedural_mesh(category, i, resolution=resolution) for i in range(num)]
    elif source == UNIVERSE:
        made = [universe_mesh(category, i) for i in range(num)]
    else:
        made = [_read(Path(source) / name) for name in bank.names[:num]]
    return made, bank, f"data ({split} split)"


def _read(path: Path) -> Shape:
    if is_cloud(path):
        return trimesh.PointCloud(read_points(path).points)
    return normalise_mesh(read_mesh(path))


def draw(options: Options) -> None:
    """Write the sheet."""
    kind = describe_kind(options.model)
    generator: Any = kind.model_class().from_pretrained(options.model)
    rows: list[list[Shape | None]] = []
    labels: list[str] = []
    for name, join in product(options.named or (None,), options.join):
        made, said = sample_rows(
            generator,
            num=options.num,
            steps=options.steps,
            ode_steps=options.ode_steps,
            seed=options.seed,
            resolution=options.resolution,
            category=name,
            guidance=options.guidance,
            join=join,
        )
        rows += made
        told = ("" if name is None else f"{name}, ", "" if join is None else f", joined {join:g}")
        labels += [f"{told[0]}{text}{told[1]}" for text in said]
    if options.data is not None:
        room: Any = kind.on("geoflow_tools.validation")
        shapes, bank, label = data_shapes(
            options.data,
            options.category or generator.categories[0],
            options.num,
            options.resolution,
            gives=room.GIVES,
        )
        above = room.data_rows(generator, shapes, bank, options.resolution)
        rows, labels = [*above, *rows], [label, "reconstruction", *labels]
    contact_sheet(rows, labels, options.out, size=options.size)


if __name__ == "__main__":
    draw(tyro.cli(Options, description=__doc__))
