"""How folders of meshes tell category and split.

- plain: `folder/mesh.obj`, or `folder/CATEGORY/.../mesh.obj`
- ModelNet: `folder/CATEGORY/train|test/mesh.off`, whose split is kept
- ShapeNetCore: `folder/SYNSET/MODEL/models/model_normalized.obj`, whose synsets get their names
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from geoflow.geometry.mesh import SUFFIXES

ALL = "all"
SPLITS = ("train", "val", "test")
_HELD_OUT = {"val": (0.8, 0.9), "test": (0.9, 1.0)}
_FEWEST_TO_SPLIT = 10

# WordNet offsets of the categories of ShapeNetCore that are used most.
SYNSETS = {
    "02691156": "airplane",
    "02773838": "bag",
    "02828884": "bench",
    "02876657": "bottle",
    "02933112": "cabinet",
    "02954340": "cap",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03467517": "guitar",
    "03624134": "knife",
    "03636649": "lamp",
    "03642806": "laptop",
    "03691459": "loudspeaker",
    "03790512": "motorbike",
    "03797390": "mug",
    "03948459": "pistol",
    "04090263": "rifle",
    "04099429": "rocket",
    "04225987": "skateboard",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "telephone",
    "04530566": "watercraft",
}


def find_meshes(folder: Path, category: str = ALL) -> list[Path]:
    """Mesh files of a folder, sorted.

    Raises:
        ValueError: if the folder is missing or has no mesh of the category.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise ValueError(f"{folder} holds no meshes; expected files {', '.join(SUFFIXES)}")
    names = {category_of(folder, path) for path in files} - {""}
    if names and category != ALL and category not in names:
        raise ValueError(
            f"{folder} has no category {category!r}; it has {', '.join(sorted(names))}, or all"
        )
    wanted = (category, "") if category != ALL else (*names, "")
    return [path for path in files if category_of(folder, path) in wanted]


def category_of(folder: Path, path: Path) -> str:
    """Category of a mesh; empty directly inside the folder."""
    parts = path.relative_to(folder).parts
    return SYNSETS.get(parts[0], parts[0]) if len(parts) > 1 else ""


def split_of(name: str, num: int) -> str:
    """Split of a mesh by its path inside the folder: its own, or by a hash of it.

    Folders of fewer than ten meshes have "train" alone.
    """
    if num < _FEWEST_TO_SPLIT:
        return "train"
    parts = Path(name).parts
    if len(parts) > 2 and parts[1] in SPLITS:
        return parts[1]
    share = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
    for split, (low, high) in _HELD_OUT.items():
        if low <= share < high:
            return split
    return "train"
