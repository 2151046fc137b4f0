"""Sources of shapes and figures.

`load` takes "procedural", or the path of a folder of meshes; `load_figures` takes "procedural", or
the path of a folder in RigNet's layout.
"""

from __future__ import annotations

from pathlib import Path

from geoflow_datasets.bank import ShapeBank
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
        category: a category's name; for a folder, "all" takes every category.
        split: "train", "val" or "test".
        num: number of procedural shapes; a folder gives all it has.
        up: axis that points up in a folder's files, "y" or "z".
        cache: where banks are kept; default: $GEOFLOW_CACHE or ~/.cache/geoflow.
        show_progress: draw a progress bar while shapes are made.

    Raises:
        ValueError: for an unknown category or split, or a folder without usable meshes.
    """
    if source == PROCEDURAL:
        from geoflow_datasets.procedural.source import load_procedural

        return load_procedural(
            [category], split=split, num=num, cache=cache, show_progress=show_progress
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
