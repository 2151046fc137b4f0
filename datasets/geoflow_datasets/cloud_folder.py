"""Your own clouds of points: folders of their files, flat or by category.

Each cloud is turned to +Y up, its bounding box centred and its longest half extent made 1; centre
and scale are in its report. Splits are those of `layouts`: PointFlow's PC15k keeps its own.

Reference: the layout of PC15k, Yang et al., "PointFlow", 2019, arXiv:1906.12320.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from geoflow.geometry.axes import check_up, points_from_up
from geoflow.geometry.box import box_of
from geoflow.geometry.read_points import SUFFIXES, read_points
from geoflow_datasets.bank import CloudBank
from geoflow_datasets.cloud_files import clouds_and_meshes
from geoflow_datasets.folder import Preparation, Report, describe_request, load_request
from geoflow_datasets.layouts import category_names, find_files
from geoflow_datasets.request import Request

MIN_POINTS = 256
"""Points that a cloud must have."""


@dataclass(frozen=True)
class CloudOptions:
    """How files become clouds."""

    up: str = "y"
    """Axis that points up in the files, "y" or "z"."""
    num_surface: int = 8192
    """Points kept of each cloud, drawn without replacement; of a smaller one all, repeated equally
    often but for one."""

    def __post_init__(self) -> None:
        """Check the axis."""
        check_up(self.up)


@dataclass(frozen=True)
class CloudReport(Report):
    """What became of one file: refused, or kept as scale * point + centre in +Y-up axes."""

    points: int | None = None
    centre: list[float] | None = None
    scale: float | None = None


def has_clouds(source: str) -> bool:
    """Whether this is a folder with at least one cloud."""
    path = Path(source)
    return path.is_dir() and bool(clouds_and_meshes(path)[0])


def check(request: Request) -> tuple[str, ...]:
    """The categories' names, after what can be seen without reading a cloud.

    Raises:
        ValueError: for a folder that has meshes too, or no clouds of a category.
    """
    names = category_names(request.category)
    clouds, meshes = clouds_and_meshes(request.path)
    if meshes and clouds:
        raise ValueError(
            f"{request.source} holds meshes ({meshes[0].name}) and clouds ({clouds[0].name}): "
            "keep them in folders of their own"
        )
    find_files(request.path, request.category, suffixes=SUFFIXES, kind=CLOUDS.kind)
    return names


def load(request: Request) -> CloudBank:
    """The clouds of a split.

    Raises:
        ValueError: as `check`, or if all clouds are refused.
    """
    check(request)
    return load_request(CLOUDS, request, CloudOptions(request.up))


def describe(request: Request) -> str:
    """What became of every cloud."""
    return describe_request(CLOUDS, request, CloudOptions(request.up))


def normalise_cloud(
    points: Float[np.ndarray, "n 3"], *, up: str = "y"
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " 3"], float]:
    """Points of centred box and longest half extent 1, +Y up, with the centre and scale undone.

    Raises:
        ValueError: for fewer than MIN_POINTS points, or points that coincide.
    """
    if len(points) < MIN_POINTS:
        raise ValueError(f"expected at least {MIN_POINTS} points, got {len(points)}")
    turned = points_from_up(points, up)
    centre, half = box_of(turned)
    if not half > 0:
        raise ValueError("its points coincide")
    return (turned - centre) / half, centre, float(half)


def _process(
    path: Path, options: CloudOptions, rng: np.random.Generator
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    return measure(read_points(path).points, options, rng)


def measure(
    points: Float[np.ndarray, "n 3"], options: CloudOptions, rng: np.random.Generator
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    """What a report says of a cloud, and its array.

    Raises:
        ValueError: as `normalise_cloud`.
    """
    points, centre, scale = normalise_cloud(points, up=options.up)
    order = np.resize(rng.permutation(len(points)), options.num_surface)
    details = {"points": len(points), "centre": centre.tolist(), "scale": scale}
    return details, {"surface": points[order].astype(np.float16)}


def _summary(taken: Sequence[CloudReport]) -> str:
    counts = [report.points or 0 for report in taken]
    most = f" to {max(counts):,}" if len(set(counts)) > 1 else ""
    return f"{min(counts):,}{most} points"


CLOUDS = Preparation(
    kind="clouds",
    version=2,
    suffixes=SUFFIXES,
    bank=CloudBank,
    report=CloudReport,
    process=_process,
    summary=_summary,
    files_per_process=1024,
)
