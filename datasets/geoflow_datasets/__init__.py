"""Sources of shapes and figures.

`load` takes "procedural", or the path of a folder of meshes; `load_clouds` also one of clouds of
points; `load_figures` takes "procedural", or
the path of a folder in RigNet's layout.
"""

from __future__ import annotations

from pathlib import Path

from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.cloud_folder import (
    CloudBank,
    check_one_kind,
    is_cloud_folder,
    load_cloud_folder,
    load_cloud_reports,
    prepare_cloud_folder,
    summarise_cloud_reports,
)
from geoflow_datasets.figure_bank import FigureBank

PROCEDURAL = "procedural"


def load(
    source: str,
    category: str,
    *,
    split: str,
    num: int,
    up: str = "y",
    cache: Path | None = None,
    show_progress: bool = False,
) -> ShapeBank:
    """Shapes of one split as a bank, made on first use and cached.

    Args:
        source: "procedural", or a folder of meshes.
        category: a category's name, several joined by commas, or "all".
        split: "train", "val" or "test".
        num: number of procedural shapes; a folder gives all it has.
        up: axis that points up in a folder's files, "y" or "z".
        cache: where banks are kept; default: $GEOFLOW_CACHE or ~/.cache/geoflow.
        show_progress: draw a progress bar while shapes are made.

    Raises:
        ValueError: for an unknown category or split, or a folder without usable meshes.
    """
    if source == PROCEDURAL:
        from geoflow_datasets.procedural import known_categories
        from geoflow_datasets.procedural.source import load_procedural

        return load_procedural(
            known_categories(category),
            split=split,
            num=num,
            cache=cache,
            show_progress=show_progress,
        )
    if is_cloud_folder(Path(source)):
        raise ValueError(
            f"{source} holds clouds of points, which have no signed distances: "
            "train them with --representation points"
        )
    from geoflow_datasets.mesh_folder import load_mesh_folder

    return load_mesh_folder(
        Path(source),
        category=category,
        split=split,
        up=up,
        cache=cache,
        show_progress=show_progress,
    )


def load_clouds(
    source: str,
    category: str,
    *,
    split: str,
    num: int,
    up: str = "y",
    cache: Path | None = None,
    show_progress: bool = False,
) -> ShapeBank | CloudBank:
    """As `load`, for models of points: a folder may hold clouds instead of meshes.

    Raises:
        ValueError: as `load`; for a folder of both; or without usable clouds.
    """
    if source != PROCEDURAL:
        check_one_kind(Path(source))
    if source == PROCEDURAL or not is_cloud_folder(Path(source)):
        return load(
            source,
            category,
            split=split,
            num=num,
            up=up,
            cache=cache,
            show_progress=show_progress,
        )
    return load_cloud_folder(
        Path(source),
        category=category,
        split=split,
        up=up,
        cache=cache,
        show_progress=show_progress,
    )


def describe_folder(folder: Path, category: str, *, up: str = "y") -> str:
    """What became of every file of a folder that was loaded, as lines.

    Raises:
        ValueError: as `load_clouds`.
    """
    if is_cloud_folder(folder):
        clouds = prepare_cloud_folder(folder, category=category, up=up)
        return summarise_cloud_reports(load_cloud_reports(clouds))
    from geoflow_datasets.mesh_folder import load_reports, prepare_mesh_folder, summarise_reports

    meshes = prepare_mesh_folder(folder, category=category, up=up)
    return summarise_reports(load_reports(meshes))


def load_figures(
    source: str,
    *,
    split: str,
    num: int,
    cache: Path | None = None,
    show_progress: bool = False,
) -> FigureBank:
    """Figures of one split, surface points and joints, made on first use and cached.

    Args:
        source: "procedural", or a folder in RigNet's layout.
        split: "train", "val" or "test".
        num: number of procedural figures; a folder gives all it has.
        cache: where banks are kept; default: $GEOFLOW_CACHE or ~/.cache/geoflow.
        show_progress: draw a progress bar while figures are made.

    Raises:
        ValueError: for an unknown split, or a folder without usable figures.
    """
    if source == PROCEDURAL:
        from geoflow_datasets.figures.source import load_procedural_figures

        return load_procedural_figures(
            split=split, num=num, cache=cache, show_progress=show_progress
        )
    from geoflow_datasets.rignet import load_rignet

    return load_rignet(Path(source), split=split, cache=cache, show_progress=show_progress)
