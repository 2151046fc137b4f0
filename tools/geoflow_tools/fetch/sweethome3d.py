"""The furniture catalogues of Sweet Home 3D: 820 things of a home, from a package of Debian.

`apt-get install sweethome3d-furniture` puts the catalogues on disk; `apt-get download` and
`dpkg-deb -x` do without being root. Geometry alone is written, in the pose of the catalogue.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from geoflow_datasets.attribution import Credit
from geoflow_datasets.classes import class_of
from geoflow_datasets.furniture import CATALOGUE, Entry, read_catalogue
from geoflow_datasets.layouts import ALL
from geoflow_tools.fetch.collection import Model, write_collection


@dataclass(frozen=True)
class Options:
    """Write models of the catalogues as .obj files."""

    out: Path
    """Folder to write; models go to OUT/CATEGORY."""
    category: str = ALL
    """Word that a model's name must contain; or all models, in categories by their names."""
    archives: Path = Path("/usr/share/sweethome3d/furniture")
    """Folder of .sh3f archives."""


def fetch(options: Options) -> int:
    """Write the models; how many.

    Raises:
        FileNotFoundError: if there are no archives.
        ValueError: if no name contains the category.
    """
    archives = sorted(options.archives.glob("*.sh3f"))
    if not archives:
        raise FileNotFoundError(
            f"no .sh3f archives in {options.archives}: apt-get install sweethome3d-furniture"
        )
    models = [model for archive in archives for model in _models(archive, options.category)]
    if not models:
        raise ValueError(f"no model's name contains {options.category!r}")
    return write_collection(options.out, models)


def _models(archive: Path, category: str) -> Iterator[Model]:
    word = re.compile(rf"\b{re.escape(category)}s?\b", re.IGNORECASE)
    with zipfile.ZipFile(archive) as file:
        for entry in read_catalogue(file.read(CATALOGUE)):
            if not entry.model.lower().endswith(".obj"):
                continue
            if category != ALL and not word.search(entry.name):
                continue
            place = class_of(entry.name) if category == ALL else category
            # The archive comes last: a name's last word makes no family.
            path = f"{place}/{Path(entry.model).stem}-{archive.stem.lower().replace('-', '')}.obj"
            yield Model(_read(file, entry), Credit(path, entry.name, entry.creator, entry.licence))


def _read(archive: zipfile.ZipFile, entry: Entry) -> trimesh.Trimesh:
    text = archive.read(entry.model).decode("latin-1")
    # Materials and textures stay behind.
    kept = "\n".join(
        line for line in text.splitlines() if not line.startswith(("mtllib", "usemtl"))
    )
    mesh = trimesh.load_mesh(trimesh.util.wrap_as_stream(kept), file_type="obj")
    if entry.rotation is not None:
        turn = np.eye(4)
        turn[:3, :3] = np.reshape(entry.rotation, (3, 3))
        mesh.apply_transform(turn)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
