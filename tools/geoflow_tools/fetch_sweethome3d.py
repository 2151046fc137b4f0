"""Real meshes from the Debian package sweethome3d-furniture, by name.

`python -m geoflow_tools.fetch_sweethome3d --category chair --out meshes` reads the catalogues that
`apt-get install sweethome3d-furniture` puts on disk and writes meshes/chair/*.obj (geometry alone)
with meshes/ATTRIBUTION.md: name, creator and licence of every model, which a model trained on
them must carry.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
import tyro

from geoflow.atomic import write_text
from geoflow.geometry.mesh import write_mesh

_CATALOGUE = "PluginFurnitureCatalog.properties"


@dataclass(frozen=True)
class Options:
    """Write models of a catalogue as .obj files."""

    out: Path
    """Folder to write; models go to OUT/CATEGORY."""
    category: str = "chair"
    """Word that a model's name must contain."""
    archives: Path = Path("/usr/share/sweethome3d/furniture")
    """Folder of .sh3f archives."""


@dataclass(frozen=True)
class Entry:
    """One model of a catalogue."""

    name: str
    model: str
    creator: str
    licence: str
    rotation: tuple[float, ...] | None


def read_catalogue(text: str) -> list[Entry]:
    """Entries of a catalogue's properties."""
    pairs = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")
    )
    entries = []
    for key, name in pairs.items():
        if match := re.fullmatch(r"name#(\d+)", key):
            i = match.group(1)
            turn = pairs.get(f"modelRotation#{i}")
            entries.append(
                Entry(
                    name.strip(),
                    pairs[f"model#{i}"].strip().lstrip("/"),
                    pairs.get(f"creator#{i}", "unknown").strip(),
                    pairs.get(f"license#{i}", pairs.get("license", "unknown")).strip(),
                    tuple(float(x) for x in turn.split()) if turn else None,
                )
            )
    return entries


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
    folder = options.out / options.category
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Attribution", "", "| file | name | creator | licence |", "|---|---|---|---|"]
    word = re.compile(rf"\b{re.escape(options.category)}s?\b", re.IGNORECASE)
    count = 0
    for archive in archives:
        with zipfile.ZipFile(archive) as file:
            for entry in read_catalogue(file.read(_CATALOGUE).decode("latin-1")):
                if not word.search(entry.name) or not entry.model.lower().endswith(".obj"):
                    continue
                mesh = _read(file, entry)
                path = folder / f"{archive.stem.lower()}-{Path(entry.model).stem}.obj"
                write_mesh(mesh, path)
                lines.append(f"| {path.name} | {entry.name} | {entry.creator} | {entry.licence} |")
                count += 1
    if not count:
        raise ValueError(f"no model's name contains {options.category!r}")
    write_text(options.out / "ATTRIBUTION.md", "\n".join(lines) + "\n")
    return count


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


if __name__ == "__main__":
    chosen = tyro.cli(Options, description=__doc__)
    print(f"{fetch(chosen)} models written to {chosen.out / chosen.category}")
