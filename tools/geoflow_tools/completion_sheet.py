"""Pictures of completion: points, what Poisson makes of them, and what a model does.

`python -m geoflow_tools.completion_sheet --out sheet.png` draws them for held-out shapes, a row for
each number of points, and one for points of one side, as a depth camera sees it. Nobody is given
normals. What is not seen from a place is found by the hull of the points, turned inside out about
it (Katz et al., "Direct visibility of point sets", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import trimesh
import tyro
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull

from geoflow.models.completion import answer, load_solids, prepare
from geoflow.models.kinds import COMPLETING
from geoflow.models.latent import Shape
from geoflow.models.meshes import FieldGenerator
from geoflow_datasets import PROCEDURAL
from geoflow_datasets.bank import ShapeBank
from geoflow_tools.bench.completion import CompletionBenchmark
from geoflow_tools.bench.reconstructors import RECONSTRUCTORS
from geoflow_viewer.picture import contact_sheet
from geoflow_viewer.scene import INK

# The camera of a scan: before the shape, above it and to its side, as the pictures see it.
_CAMERA = 3.0 * np.array([0.55, 0.4, 0.75])
# Radius of the sphere of inversion over the largest distance: larger keeps more points.
_INVERSION = 30.0


@dataclass(frozen=True)
class Options:
    """Draw points, a peer's surface and a model's beside each other."""

    out: Path
    """PNG file to write."""
    model: str = COMPLETING
    """Shipped model, or a folder, that reads bare points."""
    data: str = PROCEDURAL
    """The word procedural, a folder of meshes, or of banks by split; its test split."""
    category: str = "all"
    """Category of the data."""
    rows: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (0, 5, 7)
    """Which shapes."""
    points: Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")] = (64, 300, 1000)
    """Numbers of points, a row each."""
    side: int = 1000
    """Points of one side, in the last row; 0 leaves it out."""
    noise: float = 0.01
    """Standard deviation of the points' noise."""
    refine: int = 0
    """Steps of gradient of the model's answers."""
    peer: str = "poisson"
    """What is drawn between the points and the model's surface."""
    resolution: int = 96
    """Cells of the model's grid along an edge."""
    size: int = 130
    """Pixels of a tile."""


def main(options: Options) -> None:
    """Complete, draw, write."""
    model = load_solids(options.model)
    bench = CompletionBenchmark(
        data=options.data,
        category=options.category,
        num=max(options.rows) + 1,
        points=options.points,
        noise=options.noise,
    )
    bank = bench.bank()
    pictures: list[list[Shape | None]] = []
    labels = []
    for num in options.points:
        clouds = [bench.case(bank, row, num).points for row in options.rows]
        pictures.append([shape for each in clouds for shape in _three(model, each, options)])
        labels.append(_label(f"{num} points", options))
    if options.side:
        clouds = [_one_side(bench, bank, row, options.side) for row in options.rows]
        pictures.append([shape for each in clouds for shape in _three(model, each, options)])
        labels.append(_label("points of one side", options))
    contact_sheet(pictures, labels, options.out, size=options.size)


def visible_from(
    points: Float[np.ndarray, "n 3"], place: Float[np.ndarray, " 3"]
) -> Bool[np.ndarray, " n"]:
    """Which points of a surface are seen from a place."""
    rays = points - place
    away = np.linalg.norm(rays, axis=1, keepdims=True)
    inverted = rays * (2 * _INVERSION * away.max() / away - 1)
    hull = ConvexHull(np.concatenate([inverted, np.zeros((1, 3))]))
    seen = np.zeros(len(points) + 1, dtype=bool)
    seen[hull.vertices] = True
    return np.asarray(seen[:-1])


def _one_side(
    bench: CompletionBenchmark, bank: ShapeBank, row: int, most: int
) -> Float[np.ndarray, "n 3"]:
    """Points that a depth camera sees, in a depth camera's noise."""
    surface = np.asarray(bank.surface[row], dtype=np.float64)
    seen = surface[visible_from(surface, _CAMERA)]
    rng = np.random.default_rng([bench.seed, row])
    seen = seen[rng.permutation(len(seen))[:most]]
    return np.asarray(seen + bench.noise * rng.normal(size=seen.shape))


def _three(
    model: FieldGenerator, points: Float[np.ndarray, "n 3"], options: Options
) -> list[Shape | None]:
    (made,) = answer(
        model, prepare(model, points, None), refine=options.refine, resolution=options.resolution
    )
    given = trimesh.PointCloud(points, colors=np.tile(np.array(INK, np.uint8), (len(points), 1)))
    return [given, RECONSTRUCTORS[options.peer](points, None), made]


def _label(what: str, options: Options) -> str:
    refined = f", {options.refine} steps of refinement" if options.refine else ""
    return f"{what}: given, {options.peer}, geoflow{refined}"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
