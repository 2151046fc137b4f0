"""Options of `geoflow data`, a dataclass for each of its words; a field's docstring is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from geoflow_cli.options import Up


@dataclass(frozen=True)
class List:
    """List the sets of shapes that geoflow knows of: size, licence, title."""


@dataclass(frozen=True)
class About:
    """Say of a set whose it is, what it holds, and how to obtain it."""

    name: Annotated[str, tyro.conf.Positional]
    """Name, as geoflow data list has it."""


@dataclass(frozen=True)
class Get:
    """Prepare a set where it lies, with the axes and kind of its card; nothing is downloaded.

    What is not on this machine is refused with the steps to obtain it.
    """

    name: Annotated[str, tyro.conf.Positional]
    """Name, as geoflow data list has it."""
    out: Path
    """Folder to prepare into: as of geoflow data prepare."""
    source: Path | None = None
    """Folder or archive that was downloaded. Default: where a package puts it."""
    workers: int | None = None
    """Processes. Default: one per core."""
    progress: bool = True
    """Show a progress bar."""


@dataclass(frozen=True)
class Prepare:
    """Prepare meshes or clouds once, for trainings of any length; run again to go on or to add.

    --out is then a source of data: geoflow train --data OUT. What was done is kept whenever the
    run ends; files that have not changed are not read again.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """Folder or archive (.zip, .tar, .tar.gz, .sh3f), or a folder with archives, read in place:
    plain, by category, ShapeNetCore, ModelNet, PC15k, Objaverse."""
    out: Path
    """Folder to write."""
    kind: Literal["auto", "meshes", "clouds"] = "auto"
    """What to read of it; 'auto' asks the suffixes."""
    category: str = "thing"
    """Category of files that lie in no category's folder."""
    up: Up = "y"
    """Axis that points up in the files."""
    thickness: float | None = None
    """Least thickness of parts of meshes, where the longest half extent is 1. Default: 0.018."""
    keep_cavities: bool = False
    """Keep closed hollows of meshes, which are filled otherwise."""
    seconds: float = 120.0
    """Longest time for one file, in a process of its own."""
    memory: float = 4.0
    """Most memory for one file, in GB; libraries take about 0.4 of it."""
    workers: int | None = None
    """Files at once. Default: one per core."""
    engine: Literal["processes", "ray"] = "processes"
    """Who does the work: processes of this machine, or the machines of a Ray cluster (the extra
    'ray'), to the same shapes."""
    address: str | None = None
    """Of the Ray cluster, as HOST:PORT. Default: $RAY_ADDRESS, or the one of this machine."""
    progress: bool = True
    """Show a progress bar."""
