"""Pictures of samples and reconstructions for documents.

`python -m geoflow_tools.contact_sheet --out sheet.png` draws samples of a model at several step
counts from the same noise; with --data, shapes and their reconstructions above them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import trimesh
import tyro

from geoflow.geometry.extraction import extract_mesh
from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.sdf import union_distance
from geoflow.models.clouds import PointGenerator
from geoflow.models.fields import Generator
from geoflow.models.kinds import load_generator
from geoflow_datasets import PROCEDURAL, load
from geoflow_datasets.mesh_folder import read_mesh
from geoflow_datasets.procedural import make_solids
from geoflow_tools.validation.clouds import clouds, reconstruct_points
from geoflow_tools.validation.fields import encode_shape, sample_rows, try_decode
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
    seed: int = 0
    """Seed of the noise."""
    resolution: int = 96
    """Cells of the extraction grid along an edge."""
    size: int = 150
    """Pixels of a tile."""


def procedural_mesh(category: str, index: int, *, resolution: int = 96) -> trimesh.Trimesh:
    """Mesh of one shape of the procedural test split."""
    solids = make_solids(category, index, split="test")

    def field(points: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(union_distance(solids, points.double().numpy())).float()

    return extract_mesh(field, resolution=resolution).mesh


def data_rows(
    generator: Generator, source: str, category: str, num: int, resolution: int
) -> tuple[list[list[trimesh.Trimesh | None]], list[str]]:
    """Shapes of a source and their reconstructions, with labels."""
    if source == PROCEDURAL:
        bank = load(source, category, split="test", num=num)
        shapes = [procedural_mesh(category, i, resolution=resolution) for i in range(num)]
        label = "data (test split)"
    else:
        bank = load(source, category, split="train", num=num)
        names = bank.names[:num]
        shapes = [normalise_mesh(read_mesh(Path(source) / name)) for name in names]
        label = "meshes"
    rebuilt = [
        try_decode(generator, encode_shape(generator, bank, i), resolution)
        for i in range(len(shapes))
    ]
    return [[*shapes], rebuilt], [label, "reconstruction"]


def cloud_rows(
    generator: PointGenerator, source: str, category: str, num: int
) -> tuple[list[list[trimesh.PointCloud]], list[str]]:
    """Clouds of a source and their reconstructions in two evaluations, with labels."""
    split = "test" if source == PROCEDURAL else "train"
    bank = load(source, category, split=split, num=num)
    _, drawn = reconstruct_points(generator, bank, num=num)
    labels = [f"data ({split} split)", "reconstruction"]
    return [clouds(drawn["data"]), clouds(drawn["2"])], labels


def draw(options: Options) -> None:
    """Write the sheet."""
    generator = load_generator(options.model)
    rows, labels = sample_rows(
        generator,
        num=options.num,
        steps=options.steps,
        ode_steps=options.ode_steps,
        seed=options.seed,
        resolution=options.resolution,
    )
    if options.data is not None:
        category = options.category or generator.config.categories[0]
        if isinstance(generator, PointGenerator):
            above, names = cloud_rows(generator, options.data, category, options.num)
        else:
            above, names = data_rows(
                generator, options.data, category, options.num, options.resolution
            )
        rows, labels = [*above, *rows], [*names, *labels]
    contact_sheet(rows, labels, options.out, size=options.size)


if __name__ == "__main__":
    draw(tyro.cli(Options, description=__doc__))
