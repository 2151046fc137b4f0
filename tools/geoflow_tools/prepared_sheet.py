"""A picture of what a preparation refused, and of what it took with doubt.

Refused meshes are shown by points of their surface where they could be read; of the others a tile
says why not. Doubtful are those of which the sign disagrees with what rays see, worst first, and
those that enclose nothing.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import trimesh
from PIL import Image, ImageDraw, ImageFont

from geoflow.atomic import write_bytes
from geoflow_datasets.prepared.index import Index, Row
from geoflow_datasets.prepared.shards import Shards
from geoflow_viewer.picture import labelled_grid, png_bytes, render

SHEET = "doubtful.png"
_COLUMNS, _SIZE = 6, 200
_MOST = 24
_DOUBT = 0.99
"""Share of rays that agree with the sign, below which a mesh is doubtful."""


@dataclass(frozen=True)
class _Tile:
    name: str
    why: str
    points: np.ndarray | None


def write_sheet(folder: Path) -> Path | None:
    """Write the picture beside the report; None, and no picture, where there is nothing to show."""
    path = folder / SHEET
    with Index(folder, is_read_only=True) as index:
        rows = list(index.rows())
        refused = [_refused(row, index) for row in rows if not row.is_taken][:_MOST]
    doubtful = sorted((row for row in rows if row.is_taken and _doubt(row) > 0), key=_doubt)
    shards = Shards(folder)
    tiles = [*refused, *(_doubtful(row, shards) for row in doubtful[::-1][:_MOST])]
    if not tiles:
        path.unlink(missing_ok=True)
        return None
    labels = [tile.name[-26:] for tile in tiles]
    pictures = [_picture(tile) for tile in tiles]
    columns = min(_COLUMNS, len(tiles))
    write_bytes(path, png_bytes(labelled_grid(labels, pictures, columns=columns)))
    return path


def _doubt(row: Row) -> float:
    """How far a shape is from being beyond doubt; 0 of one that is."""
    agreement = row.report.get("ray_agreement")
    if agreement is None:
        return 0.0
    return max(_DOUBT - agreement, 0.0) + (row.report["method"] == "shell")


def _refused(row: Row, index: Index) -> _Tile:
    look = index.look(row.content)
    points = None if look is None else np.frombuffer(look, dtype=np.float16).reshape(-1, 3)
    return _Tile(_short(row.name), f"refused: {row.report.get('refused', '')}", points)


def _doubtful(row: Row, shards: Shards) -> _Tile:
    why = f"{row.report['method']}, rays agree {row.report['ray_agreement']:.1%}"
    return _Tile(_short(row.name), why, shards.read(row.place, "surface"))


def _short(name: str) -> str:
    """The folder that tells most, and the file."""
    path = PurePosixPath(name)
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def _picture(tile: _Tile) -> np.ndarray:
    cloud = None if tile.points is None else trimesh.PointCloud(tile.points.astype(np.float64))
    image = Image.fromarray(render(cloud, size=_SIZE))
    text = textwrap.fill(tile.why, 32, max_lines=3 if cloud else 9, placeholder=" …")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    height = 14 * len(text.splitlines()) + 4
    place = (6, _SIZE - height) if cloud else (6, 20)
    draw.multiline_text(place, text, fill=(150, 40, 30), font=font, spacing=2)
    return np.asarray(image)
