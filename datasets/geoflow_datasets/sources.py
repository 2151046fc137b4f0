"""The table of sources, and the one way to what they hold.

A further source is a file of its own with a function for each column, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args, overload

import geoflow_datasets.augment as copies
import geoflow_datasets.bank_folder as banks
import geoflow_datasets.cloud_folder as clouds
import geoflow_datasets.figures.source as figures
import geoflow_datasets.mesh_folder as meshes
import geoflow_datasets.mesh_surface as surface
import geoflow_datasets.prepared.source as prepared
import geoflow_datasets.procedural.source as procedural
import geoflow_datasets.rignet as rignet
import geoflow_datasets.universe.source as universe
from geoflow_datasets.bank import CloudBank, ShapeBank
from geoflow_datasets.figure_bank import FigureBank
from geoflow_datasets.layouts import ALL
from geoflow_datasets.mesh_surface import MeshSurface
from geoflow_datasets.prepared.bank import ShardedBank
from geoflow_datasets.request import Request, is_procedural, is_universe

Gives: TypeAlias = Literal["fields", "points", "figures", "surface"]
"""What a model learns from: shapes with signed distances, clouds of points, figures with joints,
or the surface of one mesh."""
Data: TypeAlias = ShapeBank | CloudBank | ShardedBank[Any] | FigureBank | MeshSurface


def nothing_to_say(request: Request) -> str:
    """The description of a source that takes all that it has."""
    return ""


@dataclass(frozen=True)
class Source:
    """A row of SOURCES."""

    gives: Gives
    expects: str
    """What a user must give, in words for a message."""
    recognises: Callable[[str], bool]
    """Whether this is what the user gave."""
    check: Callable[[Request], tuple[str, ...]]
    """Cheap checks; the names of the categories that are asked for."""
    load: Callable[[Request], Data]
    describe: Callable[[Request], str] = nothing_to_say
    """What became of every file."""
    reads: Collection[str] = ()
    """What it reads of a request beside source, category and split."""


SOURCES: dict[str, Source] = {
    "procedural shapes": Source(
        "fields", "'procedural'", is_procedural, procedural.check, procedural.load,
        reads={"num"},
    ),
    "universe of solids": Source(
        "fields", "'universe'", is_universe, universe.check, universe.load, reads={"num"}
    ),
    "prepared meshes": Source(
        "fields", "a folder of geoflow data prepare", prepared.has_meshes, prepared.check,
        prepared.load, prepared.describe, reads={"up", "thickness", "keep_cavities"},
    ),
    "prepared clouds": Source(
        "points", "one of its folders of clouds", prepared.has_clouds, prepared.check,
        prepared.load, prepared.describe, reads={"up"},
    ),
    "folder of clouds": Source(
        "points", "an existing folder of clouds", clouds.has_clouds, clouds.check, clouds.load,
        clouds.describe, reads={"up"},
    ),
    "folder of banks": Source(
        "fields", "a folder of banks by split", banks.is_bank_folder, banks.check, banks.load
    ),
    "folder of meshes": Source(
        "fields", "an existing folder of meshes", meshes.is_folder, meshes.check, copies.load,
        meshes.describe, reads={"up", "thickness", "keep_cavities", "augment"},
    ),
    "procedural figures": Source(
        "figures", "'procedural'", is_procedural, figures.check, figures.load, reads={"num"}
    ),
    "RigNet's folder": Source(
        "figures", "an existing folder in RigNet's layout", rignet.is_folder, rignet.check,
        rignet.load, rignet.describe,
    ),
    "mesh file": Source(
        "surface", "an existing mesh file", surface.is_file, surface.check, surface.load,
        reads={"up"},
    ),
}  # fmt: skip
"""Every source; of those that give what is asked for, the first that recognises it is taken."""


@overload
def load(
    source: str, category: str = ALL, *, gives: Literal["fields"] = "fields", split: str,
    num: int | None = None, up: str = "y", cache: Path | None = None, show_progress: bool = False,
    thickness: float | None = None, keep_cavities: bool = False, augment: int = 0,
) -> ShapeBank | ShardedBank[ShapeBank]: ...  # fmt: skip
@overload
def load(
    source: str, category: str = ALL, *, gives: Literal["points"], split: str,
    num: int | None = None, up: str = "y", cache: Path | None = None, show_progress: bool = False,
    thickness: float | None = None, keep_cavities: bool = False, augment: int = 0,
) -> ShapeBank | CloudBank | ShardedBank[Any]: ...  # fmt: skip
@overload
def load(
    source: str, category: str = ALL, *, gives: Literal["figures"], split: str,
    num: int | None = None, up: str = "y", cache: Path | None = None, show_progress: bool = False,
    thickness: float | None = None, keep_cavities: bool = False, augment: int = 0,
) -> FigureBank: ...  # fmt: skip
@overload
def load(
    source: str, category: str = ALL, *, gives: Literal["surface"], split: str,
    num: int | None = None, up: str = "y", cache: Path | None = None, show_progress: bool = False,
    thickness: float | None = None, keep_cavities: bool = False, augment: int = 0,
) -> MeshSurface: ...  # fmt: skip
@overload
def load(
    source: str, category: str = ALL, *, gives: Gives, split: str,
    num: int | None = None, up: str = "y", cache: Path | None = None, show_progress: bool = False,
    thickness: float | None = None, keep_cavities: bool = False, augment: int = 0,
) -> Data: ...  # fmt: skip
def load(
    source: str,
    category: str = ALL,
    *,
    gives: Gives = "fields",
    split: str,
    num: int | None = None,
    up: str = "y",
    cache: Path | None = None,
    show_progress: bool = False,
    thickness: float | None = None,
    keep_cavities: bool = False,
    augment: int = 0,
) -> Data:
    """What a source holds of one split, made on first use and cached.

    Args:
        source: "procedural", "universe", or the path of a folder or file.
        category: a category's name, several joined by commas, or "all".
        gives: "fields", shapes with signed distances; "points", the same or clouds of points;
            "figures", with joints; or "surface", one mesh.
        split: "train", "val" or "test".
        num: number of procedural shapes or figures; files are all taken.
        up: axis that points up in files, "y" or "z".
        cache: where banks are kept; default: $GEOFLOW_CACHE or ~/.cache/geoflow.
        show_progress: draw a progress bar.
        thickness: least thickness of parts of meshes; None: the default.
        keep_cavities: keep the closed hollows of meshes.
        augment: deformed copies of each training mesh of a folder.

    Raises:
        ValueError: if no source that gives this recognises what is given, for an unknown category
            or split, or if nothing usable is there.
    """
    request = Request(
        source, category, split, num, up, cache, show_progress, thickness, keep_cavities, augment
    )
    return find_source(source, gives=gives).load(request)


def check(
    source: str, category: str = ALL, *, gives: Gives = "fields", num: int | None = None
) -> tuple[str, ...]:
    """Checks before anything slow; the names of the categories that are asked for.

    Raises:
        ValueError: in one line, as `load`; also for fewer procedural shapes than categories.
    """
    request = Request(source, category, num=num)
    return find_source(source, gives=gives).check(request)


def describe(
    source: str,
    category: str = ALL,
    *,
    gives: Gives = "fields",
    up: str = "y",
    cache: Path | None = None,
    thickness: float | None = None,
    keep_cavities: bool = False,
) -> str:
    """What became of every file of a source that was loaded, as lines; empty if it has none.

    Raises:
        ValueError: as `load`.
    """
    request = Request(
        source, category, up=up, cache=cache, thickness=thickness, keep_cavities=keep_cavities
    )
    return find_source(source, gives=gives).describe(request)


def find_source(source: str, *, gives: Gives) -> Source:
    """The row for what a user gave; models of points also take shapes with fields.

    Raises:
        ValueError: if there is none, naming what is expected.
    """
    if gives not in get_args(Gives):
        raise ValueError(f"gives must be one of {', '.join(get_args(Gives))}, got {gives!r}")
    usable = ("points", "fields") if gives == "points" else (gives,)
    rows = [row for row in SOURCES.values() if row.gives in usable]
    for row in rows:
        if row.recognises(source):
            return row
    expected = " or ".join(row.expects for row in rows)
    raise ValueError(f"data must be {expected}, got {source!r}")
