"""Your own clouds of points: folders of .npy, .npz, .ply or .xyz files, flat or by category.

Each cloud is turned to +Y up, its bounding box centred and its longest half extent made 1; centre
and scale are in its report. Splits are those of `layouts`: PointFlow's PC15k keeps its own. What a
cloud does not know, normals and signed distances, is NaN in a batch: models of points read neither.

Reference: the layout of PC15k, Yang et al., "PointFlow", 2019, arXiv:1906.12320.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16, Int
from rich.progress import track

from geoflow.geometry.mesh import SUFFIXES as MESHES
from geoflow.typing import ShapeBatch
from geoflow_datasets.array_folder import read_arrays, write_arrays
from geoflow_datasets.bank import cache_folder, counted_by
from geoflow_datasets.cloud_files import SUFFIXES, is_cloud, read_cloud
from geoflow_datasets.layouts import ALL, SPLITS, category_of, find_files, split_of

MIN_POINTS = 256
"""Points that a cloud must have."""
# Bumped when the processing changes, so that no old bank is met.
_VERSION = 1
_CARD, _REPORT = "clouds.json", "report.json"
_ARRAYS = ("surface", "categories")


@dataclass(frozen=True)
class CloudReport:
    """What became of one file: refused, or kept as scale * point + centre in +Y-up axes."""

    name: str
    category: str
    refused: str | None = None
    points: int | None = None
    centre: tuple[float, float, float] | None = None
    scale: float | None = None


@dataclass(frozen=True)
class CloudBank:
    """N clouds of S points in half precision, as the trainer sees shapes."""

    surface: Float16[np.ndarray, "N S 3"]
    categories: Int[np.ndarray, " N"]
    names: tuple[str, ...]
    category_names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of clouds."""
        return len(self.names)

    def batch(
        self,
        indices: Int[np.ndarray, " b"],
        *,
        num_surface: int,
        num_queries: int,
        generator: torch.Generator,
    ) -> ShapeBatch:
        """Random points of the clouds at `indices`; normals, queries and distances are NaN."""
        rows = np.asarray(indices)[:, None]
        size = (len(rows), num_surface)
        columns = torch.randint(self.surface.shape[1], size, generator=generator).numpy()
        surface = torch.from_numpy(np.asarray(self.surface[rows, columns], dtype=np.float32))
        unknown = surface.new_full((len(rows), num_queries, 3), torch.nan)
        return ShapeBatch(
            surface=surface,
            normals=torch.full_like(surface, torch.nan),
            queries=unknown,
            sdf=unknown[..., 0],
            category=torch.from_numpy(np.asarray(self.categories[rows[:, 0]], dtype=np.int64)),
        )

    def subset(self, indices: Sequence[int] | np.ndarray) -> CloudBank:
        """The clouds at `indices`, in that order."""
        index = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            surface=self.surface[index],
            categories=self.categories[index],
            names=tuple(self.names[i] for i in index),
        )

    def with_categories(self, names: Sequence[str]) -> CloudBank:
        """The same clouds, their categories counted by `names`.

        Raises:
            ValueError: if a category of the bank is not among the names.
        """
        categories = counted_by(names, self.categories, self.category_names)
        return replace(self, categories=categories, category_names=tuple(names))


def is_cloud_folder(folder: Path) -> bool:
    """Whether a folder holds clouds and no meshes: .npy, .npz, .xyz, or .ply without faces."""
    meshes, clouds = _kinds(folder)
    return bool(clouds) and not meshes


def check_one_kind(folder: Path) -> None:
    """Raise ValueError for a folder that holds both meshes and clouds."""
    meshes, clouds = _kinds(folder)
    if meshes and clouds:
        raise ValueError(
            f"{folder} holds meshes ({meshes[0].name}) and clouds ({clouds[0].name}): "
            "keep them in folders of their own"
        )


def _kinds(folder: Path) -> tuple[list[Path], list[Path]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    clouds = [path for path in files if path.suffix.lower() in SUFFIXES and is_cloud(path)]
    meshes = [path for path in files if path.suffix.lower() in MESHES and path not in clouds]
    return meshes, clouds


def load_cloud_folder(
    folder: Path,
    *,
    category: str = ALL,
    split: str = "train",
    up: str = "y",
    num_surface: int = 8192,
    cache: Path | None = None,
    show_progress: bool = False,
) -> CloudBank:
    """The clouds of one split; a split without any is the whole folder.

    Args:
        folder: clouds directly inside, or in one folder per category.
        category: a category, several joined by commas, or "all".
        split: "train", "val" or "test".
        up: axis that points up in the files, "y" or "z".
        num_surface: points kept of each cloud, drawn without replacement; of a smaller one all,
            repeated equally often but for one.
        cache: where the bank is kept.
        show_progress: draw a progress bar.

    Raises:
        ValueError: if the folder is missing, has no clouds of the category, or all are refused.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    target = prepare_cloud_folder(
        folder,
        category=category,
        up=up,
        num_surface=num_surface,
        cache=cache,
        show_progress=show_progress,
    )
    arrays, card = read_arrays(target, _ARRAYS, _CARD)
    bank = CloudBank(**arrays, names=tuple(card["names"]), category_names=tuple(card["categories"]))
    chosen = [i for i, name in enumerate(bank.names) if split_of(name, len(bank)) == split]
    return bank.subset(chosen or range(len(bank)))


def prepare_cloud_folder(
    folder: Path,
    *,
    category: str = ALL,
    up: str = "y",
    num_surface: int = 8192,
    cache: Path | None = None,
    show_progress: bool = False,
) -> Path:
    """Read and normalise the clouds unless that was done; the folder of bank and reports.

    Raises:
        ValueError: as `load_cloud_folder`.
    """
    if up not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', got {up!r}")
    files = find_files(folder, category, suffixes=SUFFIXES, kind="clouds")
    digest = hashlib.sha256(f"{_VERSION}-{up}-{num_surface}".encode())
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    target = (cache or cache_folder()) / "clouds" / f"{folder.name}-{digest.hexdigest()[:16]}"
    if (target / _CARD).is_file():
        return target
    reports: list[CloudReport] = []
    kept: list[np.ndarray] = []
    for path in track(files, description="clouds", disable=not show_progress):
        report, points = _process(path, folder, up, num_surface)
        reports.append(report)
        if points is not None:
            kept.append(points)
    taken = [report for report in reports if report.refused is None]
    if not taken:
        first = reports[0]
        raise ValueError(
            f"all {len(reports)} clouds of {folder} were refused; {first.name}: {first.refused}"
        )
    names = sorted({report.category or category for report in taken})
    categories = np.array([names.index(report.category or category) for report in taken])
    card = {"names": [report.name for report in taken], "categories": names}
    text = json.dumps([asdict(report) for report in reports], indent=2)
    arrays = {"surface": np.stack(kept), "categories": categories}
    write_arrays(target, arrays, {_CARD: json.dumps(card), _REPORT: text})
    return target


def load_cloud_reports(prepared: Path) -> list[CloudReport]:
    """One report per file, from a folder that `prepare_cloud_folder` gave."""
    entries = json.loads((prepared / _REPORT).read_text(encoding="utf-8"))
    return [CloudReport(**entry) for entry in entries]


def summarise_cloud_reports(reports: Sequence[CloudReport]) -> str:
    """How many clouds were taken, of how many points, and every refusal with its reason."""
    counts = [report.points for report in reports if report.points is not None]
    refused = [report for report in reports if report.refused is not None]
    sizes = f"{min(counts):,}" + (f" to {max(counts):,}" if len(set(counts)) > 1 else "")
    lines = [f"{len(counts)} clouds ({sizes} points), {len(refused)} refused"]
    return "\n".join([*lines, *(f"  {report.name}: {report.refused}" for report in refused)])


def normalise_cloud(
    points: Float[np.ndarray, "n 3"], *, up: str = "y"
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " 3"], float]:
    """Points of centred box and longest half extent 1, +Y up, with the centre and scale undone.

    Raises:
        ValueError: for fewer than MIN_POINTS points, or points that coincide.
    """
    if len(points) < MIN_POINTS:
        raise ValueError(f"expected at least {MIN_POINTS} points, got {len(points)}")
    turned = points if up == "y" else points[:, [0, 2, 1]] * np.array([1.0, 1.0, -1.0])
    low, high = turned.min(0), turned.max(0)
    scale = float((high - low).max()) / 2
    if not scale > 0:
        raise ValueError("its points coincide")
    centre = (low + high) / 2
    return (turned - centre) / scale, centre, scale


def _process(
    path: Path, folder: Path, up: str, num: int
) -> tuple[CloudReport, Float16[np.ndarray, "s 3"] | None]:
    name, category = path.relative_to(folder).as_posix(), category_of(folder, path)
    try:
        points, centre, scale = normalise_cloud(read_cloud(path), up=up)
    except ValueError as error:
        return CloudReport(name, category, refused=str(error)), None
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    order = np.resize(rng.permutation(len(points)), num)
    x, y, z = centre.tolist()
    report = CloudReport(name, category, points=len(points), centre=(x, y, z), scale=scale)
    return report, points[order].astype(np.float16)
