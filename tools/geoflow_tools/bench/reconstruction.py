"""How well shapes that a model never saw come back, from points with normals and from bare ones.

Volume IoU is at the uniform points that a bank stores with its distances. The Chamfer distance is
given over its floor, that of two samplings of the shape itself, with as many points.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from geoflow import __version__
from geoflow.backbones.field_codec import SurfacePoints
from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.geometry.metrics import chamfer_distance, volume_iou
from geoflow.models.completion import RECYCLED
from geoflow.models.kinds import load
from geoflow.models.latent import Shape
from geoflow_datasets import load as load_source
from geoflow_datasets.bank import ShapeBank
from geoflow_viewer.picture import contact_sheet

_SURFACE_POINTS = 2048
_SHOWN = 8
# Twice what 2,048 points of a surface of the box's size are apart.
_TOGETHER = 0.1


@dataclass(frozen=True)
class Given:
    """What a model is given of a shape."""

    points: int
    normals: bool
    noise: float
    refine: int = 0
    recycle: int = 0
    mend: bool = False
    join: float | None = None


@dataclass(frozen=True)
class Score:
    """Means and medians over shapes; those of surfaces where meshes were made."""

    iou_mean: float
    iou_median: float
    seconds: float
    """Of encoding, a shape, on this machine."""
    chamfer_over_floor: float | None = None
    """Median."""
    single: float | None = None
    """Share of meshes of one component."""
    whole: float | None = None
    """The same of the shapes that are one piece themselves."""
    empty: int | None = None


@dataclass(frozen=True)
class ReconstructionBenchmark:
    """Encode and decode shapes of a split, and compare them with what they are."""

    model: str = "shapes"
    """Shipped model, or a folder of a model or a run."""
    data: str = "procedural"
    """The word procedural, a folder of meshes, or of banks by split."""
    category: str = "all"
    """Category, several joined by commas, or all."""
    split: Literal["test", "val", "train"] = "test"
    """Choose on val, report on test."""
    num: int = 40
    """Shapes, spread evenly over the split."""
    bare: tuple[int, ...] = (64, 256, 1024, 2048)
    """Numbers of points without normals, with noise; none: leave them out."""
    noise: float = 0.01
    """Standard deviation of their noise, half the longest edge being 1."""
    oriented: int = 2048
    """Number of points with normals, without noise."""
    refine: tuple[int, ...] = (0,)
    """Steps of refinement of those with normals."""
    recycle: tuple[int, ...] = (RECYCLED,)
    """Times that points are read again, as the answer's own field says."""
    mend: tuple[bool, ...] = (False, True)
    """Fields of the latents alone, and ones that go through the points; where the model learnt
    to mend."""
    join: tuple[float | None, ...] = (None,)
    """Levels at which parts of a mesh are one; None: as models choose."""
    meshes: bool = False
    """Make meshes, and compare surfaces as well."""
    sheet: Path | None = None
    """Picture to write of the first shapes: their points, and what each way of giving gives."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, Any]:
        """A score of each way of giving the shapes."""
        model: Any = load(self.model)
        num = self.num if self.data == "procedural" else None
        bank = load_source(
            self.data, self.category, gives="fields", split=self.split, num=num
        ).loaded()
        rows = np.unique(np.linspace(0, len(bank) - 1, min(self.num, len(bank))).astype(int))
        ways = [
            Given(self.oriented, True, 0.0, steps, times)
            for times in self.recycle for steps in self.refine
        ]  # fmt: skip
        ways += [
            Given(points, False, self.noise, 0, times)
            for times in self.recycle for points in self.bare
        ]  # fmt: skip
        does = [mend for mend in self.mend if model.mends or not mend]
        ways = [
            replace(way, mend=mend, join=join)
            for way in ways for mend in does for join in self.join
        ]  # fmt: skip
        if self.sheet is not None:
            write_sheet(model, bank, rows[:_SHOWN], ways, self.sheet)
        scores = [(way, score(model, bank, rows, way, meshes=self.meshes)) for way in ways]
        return {
            "geoflow": __version__,
            "model": Path(self.model).name,
            "data": Path(self.data).name,
            "split": self.split,
            "shapes": len(rows),
            "scores": [asdict(way) | asdict(found) for way, found in scores],
        }


def score(model: Any, bank: ShapeBank, rows: np.ndarray, given: Given, *, meshes: bool) -> Score:
    """Reconstructions of the shapes at `rows` of a bank from what is given of them."""
    ious, ratios, single, whole, seconds = [], [], [], [], 0.0
    for row in map(int, rows):
        points, normals = view(bank, row, given)
        start = time.process_time()
        tokens = model.encode(points, normals, recycle=given.recycle, refine=given.refine)[0]
        seconds += time.process_time() - start
        through = SurfacePoints(points, normals) if given.mend else None
        queries, sdf = bank.uniform_queries(row)
        field = model.field(tokens, through=through)(torch.from_numpy(queries)).cpu().numpy()
        ious.append(volume_iou(field < 0, sdf < 0))
        if meshes:
            try:
                mesh = model.decode(tokens, through=through, join=given.join)
            except EmptySurfaceError:
                continue
            single.append(mesh.body_count == 1)
            if is_one_piece(np.asarray(bank.surface[row], np.float64)):
                whole.append(single[-1])
            ratios.append(_over_floor(mesh, np.asarray(bank.surface[row], np.float64), seed=row))
    return Score(
        iou_mean=float(np.mean(ious)),
        iou_median=float(np.median(ious)),
        seconds=seconds / len(rows),
        chamfer_over_floor=float(np.median(ratios)) if ratios else None,
        single=float(np.mean(single)) if single else None,
        whole=float(np.mean(whole)) if whole else None,
        empty=len(rows) - len(single) if meshes else None,
    )


def is_one_piece(surface: Float[np.ndarray, "n 3"]) -> bool:
    """Whether points of a surface hang together, none farther from the next than _TOGETHER."""
    pairs = cKDTree(surface).query_pairs(_TOGETHER, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(surface),) * 2)
    return bool(connected_components(graph, directed=False, return_labels=False) == 1)


def view(
    bank: ShapeBank, row: int, given: Given
) -> tuple[Float[Tensor, "1 n 3"], Float[Tensor, "1 n 3"] | None]:
    """Points of a shape as they are given, none of them twice, and their normals where these are.

    Raises:
        ValueError: for more points than the bank has of a shape.
    """
    if given.points > (most := bank.surface.shape[1]):
        raise ValueError(f"points must be at most {most}, as the data has, got {given.points}")
    generator = torch.Generator().manual_seed(row)
    chosen = torch.randperm(most, generator=generator)[: given.points]
    points, normals = (
        torch.from_numpy(np.asarray(values[row], np.float32))[chosen][None]
        for values in (bank.surface, bank.normals)
    )
    noise = given.noise * torch.randn(points.shape, generator=generator)
    return points + noise, normals if given.normals else None


def write_sheet(
    model: Any, bank: ShapeBank, rows: np.ndarray, ways: list[Given], path: Path
) -> None:
    """Points of shapes, and below them the meshes that each way of giving them gives."""
    clouds = [trimesh.PointCloud(np.asarray(bank.surface[row], np.float64)) for row in rows]
    pictures: list[list[Shape | None]] = [[*clouds]]
    for way in ways:
        pictures.append([_mesh(model, *view(bank, int(row), way), way) for row in rows])
    labels = ["data", *(_label(way) for way in ways)]
    contact_sheet(pictures, labels, path, size=160)


def _mesh(
    model: Any, points: Float[Tensor, "1 n 3"], normals: Float[Tensor, "1 n 3"] | None, way: Given
) -> Shape | None:
    tokens = model.encode(points, normals, recycle=way.recycle, refine=way.refine)[0]
    through = SurfacePoints(points, normals) if way.mend else None
    try:
        return cast("Shape", model.decode(tokens, through=through, join=way.join))
    except EmptySurfaceError:
        return None


def _label(way: Given) -> str:
    given = f"{way.points} points" + ("" if way.normals else ", bare")
    given += f", read again {way.recycle}" if way.recycle else ""
    given += f", refined {way.refine}" if way.refine else ""
    given += "" if way.join is None else f", joined {way.join}"
    return given + (", mended" if way.mend else "")


def _over_floor(mesh: trimesh.Trimesh, surface: np.ndarray, *, seed: int) -> float:
    """Chamfer distance to half of a shape's points over that of its two halves."""
    order = np.random.default_rng(seed).permutation(len(surface))
    num = min(_SURFACE_POINTS, len(surface) // 2)
    one, two = surface[order[:num]], surface[order[num : 2 * num]]
    points, _ = trimesh.sample.sample_surface(mesh, num, seed=seed)
    return chamfer_distance(np.asarray(points), one) / chamfer_distance(two, one)
