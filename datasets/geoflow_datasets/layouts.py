"""How folders of meshes and of clouds tell category and split.

- plain: `folder/mesh.obj`, or `folder/CATEGORY/.../mesh.obj`
- ModelNet: `folder/CATEGORY/train|test/mesh.off`, whose split is kept
- ShapeNetCore: `folder/SYNSET/MODEL/models/model_normalized.obj`, whose synsets get their names
- PointFlow's PC15k: `folder/SYNSET/train|val|test/cloud.npy`, both
- Objaverse: `folder/glbs/000-023/UID.glb`, without categories
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from geoflow_datasets.files import files_in

ALL = "all"
SPLITS = ("train", "val", "test")
_HELD_OUT = {"val": (0.8, 0.9), "test": (0.9, 1.0)}
_FEWEST_TO_SPLIT = 10

# WordNet offsets of the 55 categories of ShapeNetCore.
SYNSETS = {
    "02691156": "airplane",
    "02747177": "trash bin",
    "02773838": "bag",
    "02801938": "basket",
    "02808440": "bathtub",
    "02818832": "bed",
    "02828884": "bench",
    "02843684": "birdhouse",
    "02871439": "bookshelf",
    "02876657": "bottle",
    "02880940": "bowl",
    "02924116": "bus",
    "02933112": "cabinet",
    "02942699": "camera",
    "02946921": "can",
    "02954340": "cap",
    "02958343": "car",
    "02992529": "cellphone",
    "03001627": "chair",
    "03046257": "clock",
    "03085013": "keyboard",
    "03207941": "dishwasher",
    "03211117": "display",
    "03261776": "earphone",
    "03325088": "faucet",
    "03337140": "file cabinet",
    "03467517": "guitar",
    "03513137": "helmet",
    "03593526": "jar",
    "03624134": "knife",
    "03636649": "lamp",
    "03642806": "laptop",
    "03691459": "loudspeaker",
    "03710193": "mailbox",
    "03759954": "microphone",
    "03761084": "microwave",
    "03790512": "motorbike",
    "03797390": "mug",
    "03928116": "piano",
    "03938244": "pillow",
    "03948459": "pistol",
    "03991062": "flowerpot",
    "04004475": "printer",
    "04074963": "remote",
    "04090263": "rifle",
    "04099429": "rocket",
    "04225987": "skateboard",
    "04256520": "sofa",
    "04330267": "stove",
    "04379243": "table",
    "04401088": "telephone",
    "04460130": "tower",
    "04468005": "train",
    "04530566": "watercraft",
    "04554684": "washer",
}
# The folder around the shards of Objaverse is no category.
_OBJAVERSE = "glbs"


def category_names(text: str) -> tuple[str, ...]:
    """The names in 'chair,airplane', in their order.

    Raises:
        ValueError: for an empty name, or one that comes twice.
    """
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"categories must be different names joined by commas, got {text!r}")
    return names


def find_files(folder: Path, category: str, *, suffixes: tuple[str, ...], kind: str) -> list[Path]:
    """Files of the suffixes in a folder, sorted.

    Args:
        folder: flat, or with a folder for each category.
        category: a category, several joined by commas, or "all".
        suffixes: in lower case.
        kind: what the files are called in a message.

    Raises:
        ValueError: if the folder is missing or has no file of a category.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    files = [path for path in files_in(folder) if path.suffix.lower() in suffixes]
    if not files:
        raise ValueError(f"{folder} holds no {kind}; expected files {', '.join(suffixes)}")
    found = {category_of(folder, path) for path in files} - {""}
    if category == ALL:
        return files
    wanted = category_names(category)
    if not found and len(wanted) > 1:
        raise ValueError(f"{folder} has no category folders, expected {', '.join(wanted)}")
    missing = [name for name in wanted if name not in found] if found else []
    if missing:
        raise ValueError(
            f"{folder} has no category {missing[0]!r}; it has {', '.join(sorted(found))}, or all"
        )
    # Files directly inside belong to the category that is asked for, where it is one.
    taken = (*wanted, "") if len(wanted) == 1 else wanted
    return [path for path in files if category_of(folder, path) in taken]


def category_of(folder: Path, path: Path) -> str:
    """Category of a shape; empty directly inside the folder, or inside one named as a split."""
    parts = path.relative_to(folder).parts
    if len(parts) < 2 or parts[0] in SPLITS or _OBJAVERSE in parts[:2]:
        return ""
    return SYNSETS.get(parts[0], parts[0])


def split_of(name: str, num: int) -> str:
    """Split of a shape by its path inside the folder: its own, or by a hash of it.

    Folders of fewer than ten shapes without splits of their own have "train" alone.
    """
    named = [part for part in Path(name).parts[:-1][:2] if part in SPLITS]
    if named:
        return named[-1]
    if num < _FEWEST_TO_SPLIT:
        return "train"
    share = int(hashlib.sha256(os.fsencode(name)).hexdigest()[:8], 16) / 2**32
    for split, (low, high) in _HELD_OUT.items():
        if low <= share < high:
            return split
    return "train"
