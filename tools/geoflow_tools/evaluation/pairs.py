"""Samples that belong to references, one to one: reconstructions against what they are of.

Files of one name, but for the suffix, are a pair. Both are moved and scaled as is right for the
reference, so that a wrong place or size counts.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Bool, Float

from geoflow import __version__
from geoflow.atomic import reading, write_text
from geoflow.geometry.box import box_of
from geoflow.geometry.metrics import METRICS
from geoflow.geometry.metrics.emd import import_pot
from geoflow.geometry.metrics.estimate import mean
from geoflow.geometry.metrics.surface import F_SCORE_THRESHOLD
from geoflow_datasets.workers import map_in_processes
from geoflow_tools.evaluation.evaluation import Progress, check_points
from geoflow_tools.evaluation.shapes import Shape, draw_points, fingerprint, list_shapes, read_shape
from geoflow_tools.evaluation.work_folder import open_work_folder

PAIR_METRICS = ("chamfer_squared", "chamfer", "emd", "f_score", "volume_iou", "normal_consistency")
"""Keys of METRICS, in the report's order."""
PLACES = ("none", "box", "sphere")
_VOLUME_POINTS = 32_768
# Pairs for which another process is worth its start.
_PAIRS_PER_PROCESS = 16


@dataclass(frozen=True)
class PairSettings:
    """What is measured; a run resumes only with the same."""

    samples: str
    """Folder of shapes."""
    reference: str
    """Folder of shapes of the same names."""
    up: str = "y"
    """Axis that points up in the files."""
    reference_up: str | None = None
    """Axis that points up in those of the reference, where it is another."""
    num: int = 200
    """Pairs, at most; drawn at random where there are more."""
    points: int = 2048
    """Points of each shape."""
    emd_points: int = 512
    """How many of them EMD sees; 0 leaves EMD out."""
    normalise: str = "box"
    """One of PLACES."""
    seed: int = 0
    """Seed of the points and of the choice."""

    def __post_init__(self) -> None:
        """Check what can be checked without files.

        Raises:
            ValueError: for a setting out of range.
        """
        if self.num < 1:
            raise ValueError(f"--num must be at least 1, got {self.num}")
        check_points(self.points, self.emd_points)
        if self.normalise not in PLACES:
            raise ValueError(
                f"--normalise must be one of {', '.join(PLACES)} with --paired: a pair is placed "
                f"by its reference; got {self.normalise!r}"
            )


@dataclass(frozen=True)
class Pair:
    """Two files of one name."""

    name: str
    index: int
    sample: Path
    reference: Path


class PairedEvaluation:
    """One evaluation of pairs and its work folder, which holds the numbers of each pair."""

    def __init__(self, settings: PairSettings, folder: Path) -> None:
        """Match the files, and start or resume the folder.

        Raises:
            ValueError: if a file has no partner, or the folder was started with other options.
            ImportError: if EMD is asked for and POT is not installed.
        """
        self.settings, self.folder = settings, folder
        found = match_pairs(Path(settings.samples), Path(settings.reference))
        chosen = np.random.default_rng(settings.seed).permutation(len(found))[: settings.num]
        self.pairs = [found[i] for i in sorted(chosen)]
        if settings.emd_points:
            import_pot()
        files = [path for pair in self.pairs for path in (pair.sample, pair.reference)]
        options = {"geoflow": __version__, "paired": True, **asdict(settings)}
        open_work_folder(folder, {**options, "content": fingerprint(files)})

    def emd_left(self) -> int:
        """Distances by EMD that the folder does not hold yet, if every shape can be measured."""
        return len(self._to_do()) if self.settings.emd_points else 0

    def run(self) -> Iterator[Progress]:
        """Measure the pairs that the folder does not hold yet; then `report` answers.

        A pair with a shape that cannot be measured is left out, and named in the report.
        """
        to_do = self._to_do()
        done, total = len(self.pairs) - len(to_do), len(self.pairs)
        yield Progress("pairs", done, total)
        workers = min(os.cpu_count() or 1, max(len(to_do) // _PAIRS_PER_PROCESS, 1))
        results = map_in_processes(partial(_measure, self.settings), to_do, workers)
        for pair, numbers in zip(to_do, results, strict=True):
            write_text(self._file(pair), json.dumps(numbers) + "\n")
            done += 1
            yield Progress("pairs", done, total)

    def report(self) -> dict[str, Any]:
        """Every number of every pair, and means with standard errors.

        Raises:
            FileNotFoundError: before `run` is at its end.
            ValueError: with the first refusal, if no pair could be measured.
        """
        found = {pair.name: self._numbers(pair) for pair in self.pairs}
        refused = {name: said["refused"] for name, said in found.items() if "refused" in said}
        each = {name: numbers for name, numbers in found.items() if name not in refused}
        if not each:
            raise ValueError(
                f"all {len(refused)} pairs were refused; {next(iter(refused.values()))}"
            )
        metrics = {}
        for name in PAIR_METRICS:
            values = [numbers[name] for numbers in each.values() if numbers[name] is not None]
            if values:
                metrics[name] = {**asdict(mean(np.array(values))), "pairs": len(values)}
        return {
            "geoflow": __version__,
            "options": asdict(self.settings),
            "f_score_threshold": F_SCORE_THRESHOLD,
            "pairs": len(each),
            "refused": refused,
            "metrics": metrics,
            "each": each,
        }

    def _to_do(self) -> list[Pair]:
        return [pair for pair in self.pairs if not self._file(pair).is_file()]

    def _numbers(self, pair: Pair) -> dict[str, Any]:
        path = self._file(pair)
        with reading(path):
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            numbers = [found[name] for name in PAIR_METRICS] if "refused" not in found else []
            if not all(number is None or math.isfinite(number) for number in numbers):
                raise ValueError("a number is not finite")
            return found

    def _file(self, pair: Pair) -> Path:
        return self.folder / f"{pair.index:05d}.json"


def match_pairs(samples: Path, reference: Path) -> list[Pair]:
    """The pairs of two folders, by the path inside them without suffix.

    Raises:
        ValueError: if a folder is missing, a name comes twice, or has no partner.
    """
    left, right = _by_name(samples), _by_name(reference)
    for here, there, folder in ((left, right, reference), (right, left, samples)):
        lonely = [name for name in here if name not in there]
        if lonely:
            raise ValueError(
                f"--paired: {here[lonely[0]]} has no partner named {lonely[0]!r} in {folder} "
                f"({len(lonely)} of {len(here)} have none)"
            )
    if not left:
        raise ValueError(f"--paired: {samples} and {reference} hold no shapes")
    return [Pair(name, i, left[name], right[name]) for i, name in enumerate(sorted(left))]


def measure_pair(settings: PairSettings, pair: Pair) -> dict[str, float | None]:
    """PAIR_METRICS of a pair; None for what is left out or has no meaning for clouds.

    Volume IoU needs two watertight meshes, normal consistency two meshes.

    Raises:
        ValueError: naming the file, for a shape that cannot be measured.
    """
    sample = read_shape(pair.sample, settings.up)
    reference = read_shape(pair.reference, settings.reference_up or settings.up)
    centre, scale = _place(reference, settings.normalise, source=str(pair.reference))
    a, normals_a = _draw(sample, settings, (0, pair.index), str(pair.sample))
    b, normals_b = _draw(reference, settings, (1, pair.index), str(pair.reference))
    a, b = (a - centre) / scale, (b - centre) / scale
    few = settings.emd_points
    return {
        "chamfer_squared": METRICS["chamfer_squared"](a, b),
        "chamfer": METRICS["chamfer"](a, b),
        "emd": METRICS["emd"](a[:few], b[:few]) if few else None,
        "f_score": METRICS["f_score"](a, b),
        "volume_iou": _volume_iou(sample, reference),
        "normal_consistency": None
        if normals_a is None or normals_b is None
        else METRICS["normal_consistency"](a, normals_a, b, normals_b),
    }


def _measure(settings: PairSettings, pair: Pair) -> dict[str, Any]:
    """`measure_pair`, or why it refuses."""
    try:
        return {**measure_pair(settings, pair)}
    except ValueError as error:
        return {"refused": str(error)}


def summary_of_pairs(report: dict[str, Any]) -> list[str]:
    """A report as lines, one per metric, its conventions beside the numbers."""
    options, pairs = report["options"], report["pairs"]
    said = {
        "chamfer_squared": "CD, squared, sum of both directions",
        "chamfer": "CD, unsquared, mean of both directions",
        "emd": f"EMD, exact, unsquared, {options['emd_points']} of the points",
        "f_score": f"F-score at {report['f_score_threshold']}",
        "volume_iou": "volume IoU",
        "normal_consistency": "normal consistency",
    }
    lines = [
        f"{pairs} pairs, {options['points']} points each, normalisation by the reference: "
        f"{options['normalise']}"
    ]
    lines += [f"refused: {reason}" for reason in report["refused"].values()]
    for name, label in said.items():
        if name not in report["metrics"]:
            why = "--emd-points 0" if name == "emd" else "no pair of meshes that has it"
            lines.append(f"{label if name != 'emd' else 'EMD'}: left out ({why})")
            continue
        found = report["metrics"][name]
        error = found["standard_error"]
        spread = "" if error is None else f" ± {error:.2g}"
        few = f" ({found['pairs']} of the pairs)" if found["pairs"] < pairs else ""
        lines.append(f"{label}: {found['value']:.5g}{spread}{few}")
    return lines


def _by_name(folder: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in list_shapes(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise ValueError(f"--paired: {named[name]} and {path} have one name")
        named[name] = path
    return named


def _place(shape: Shape, kind: str, *, source: str) -> tuple[Float[np.ndarray, " 3"], float]:
    """Centre and scale that normalise a shape."""
    points = np.asarray(shape.vertices if isinstance(shape, trimesh.Trimesh) else shape)
    if kind == "none":
        return np.zeros(3), 1.0
    if kind == "box":
        centre, half = box_of(points)
        scale = float(half)
    else:
        centre = points.mean(0)
        scale = float(np.linalg.norm(points - centre, axis=1).max())
    if not scale > 0:
        raise ValueError(f"{source}: a shape without extent cannot be normalised")
    return centre, scale


def _draw(
    shape: Shape, settings: PairSettings, stream: tuple[int, int], source: str
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"] | None]:
    """Points of a shape, and their normals if it is a mesh."""
    seed = int(np.random.SeedSequence([settings.seed, *stream]).generate_state(1)[0])
    if not isinstance(shape, trimesh.Trimesh):
        return draw_points(shape, settings.points, seed=seed, source=source), None
    points, faces = trimesh.sample.sample_surface(shape, settings.points, seed=seed)
    return np.asarray(points), np.asarray(shape.face_normals[faces])


def _volume_iou(a: Shape, b: Shape) -> float | None:
    """At uniform points of the box around both; None but for watertight meshes."""
    meshes = [shape for shape in (a, b) if isinstance(shape, trimesh.Trimesh)]
    if len(meshes) < 2 or not all(METRICS["watertight"](mesh) for mesh in meshes):
        return None
    bounds = np.array([mesh.bounds for mesh in meshes])
    low, high = bounds[:, 0].min(0), bounds[:, 1].max(0)
    points = np.random.default_rng(0).uniform(low, high, (_VOLUME_POINTS, 3))
    inside = [_inside(mesh, points) for mesh in meshes]
    return float(METRICS["volume_iou"](*inside))


def _inside(mesh: trimesh.Trimesh, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    import point_cloud_utils as pcu

    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int64)
    winding = pcu.triangle_soup_fast_winding_number(vertices, faces, points)
    # Inverted meshes enclose the same volume.
    return np.abs(winding) > 0.5
