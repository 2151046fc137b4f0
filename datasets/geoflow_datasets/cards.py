"""Sets of shapes that people train on: whose they are, what they hold, how to obtain them.

None of them comes with this package, and none is downloaded behind a user's back: most ask for
terms to be accepted first. A further set is a row of CARDS.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Card:
    """One set."""

    title: str
    origin: str
    """Page of its makers."""
    reference: str
    licence: str
    kind: Literal["meshes", "clouds"]
    num: int
    """Shapes, as its makers count them."""
    categories: str
    splits: str
    obtain: tuple[str, ...]
    """Commands and steps."""
    up: Literal["y", "z"] = "y"
    file: str | None = None
    """Name of the file that `checksum` is of."""
    checksum: str | None = None
    """SHA-256; None where its makers publish none."""
    place: Path | None = None
    """Where a package puts it, to be read in place."""
    note: str = ""


_SHAPENET = (
    "for research and teaching that is not commercial, after accepting the terms of ShapeNet; "
    "models are their creators'"
)
_SHAPENET_SPLITS = "official in all.csv, a file of its own: lay it beside the categories"

CARDS: dict[str, Card] = {
    "shapenetcore-v1": Card(
        "ShapeNetCore v1", "https://shapenet.org", "Chang et al., 2015, arXiv:1512.03012",
        _SHAPENET, "meshes", 51_300, "55, as folders of WordNet offsets", _SHAPENET_SPLITS,
        ("ask for access at https://shapenet.org", "download a .zip for each category"),
    ),
    "shapenetcore-v2": Card(
        "ShapeNetCore v2", "https://huggingface.co/datasets/ShapeNet/ShapeNetCore",
        "Chang et al., 2015, arXiv:1512.03012", _SHAPENET, "meshes", 52_472,
        "55, as folders of WordNet offsets", _SHAPENET_SPLITS,
        (
            "accept the terms at https://huggingface.co/datasets/ShapeNet/ShapeNetCore",
            "hf download ShapeNet/ShapeNetCore --repo-type dataset --local-dir shapenet",
        ),
        note="a .zip for each category, read in place; fronts look along -Z",
    ),
    "modelnet10": Card(
        "ModelNet10", "https://modelnet.cs.princeton.edu", "Wu et al., 2015, arXiv:1406.5670",
        "for academic use; models are their creators'", "meshes", 4_899, "10, as folders",
        "official, as folders: 3,991 train, 908 test",
        ("wget http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",), up="z",
    ),
    "modelnet40": Card(
        "ModelNet40", "https://modelnet.cs.princeton.edu", "Wu et al., 2015, arXiv:1406.5670",
        "for academic use; models are their creators'", "meshes", 12_311, "40, as folders",
        "official, as folders: 9,843 train, 2,468 test",
        ("wget http://modelnet.cs.princeton.edu/ModelNet40.zip",), up="z",
        note="poses are not aligned",
    ),
    "pc15k": Card(
        "ShapeNetCore.v2.PC15k", "https://github.com/stevenygd/PointFlow",
        "Yang et al., 2019, arXiv:1906.12320", _SHAPENET, "clouds", 51_127,
        "55, as folders of WordNet offsets; 15,000 points a shape",
        "official, as folders: train, val, test",
        ("follow the link to the data in the README of https://github.com/stevenygd/PointFlow",),
    ),
    "objaverse": Card(
        "Objaverse 1.0", "https://objaverse.allenai.org", "Deitke et al., 2022, arXiv:2212.08051",
        "ODC-By 1.0 as a whole; each object its own: CC BY, CC BY-NC, CC BY-NC-SA, CC BY-SA or CC0",
        "meshes", 800_000, "none; 1,156 of LVIS for 47,000 objects", "none",
        (
            "pip install objaverse",
            "python -c 'import objaverse as o; o.load_objects(o.load_uids()[:1000])'",
        ),
        note="the files come to ~/.objaverse/hf-objaverse-v1, which is read as it is; licences of "
        "objects are in objaverse.load_annotations",
    ),
    "sweethome3d": Card(
        "Furniture of Sweet Home 3D", "https://www.sweethome3d.com",
        "Debian package sweethome3d-furniture 1.8", "CC BY 3.0, CC0 and free licences, by model",
        "meshes", 820, "24, by the words of their names", "none",
        ("apt-get install sweethome3d-furniture",),
        file="sweethome3d-furniture_1.8-1_all.deb",
        checksum="3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668",
        place=Path("/usr/share/sweethome3d/furniture"),
        note="creators and licences go to attribution.csv, and into the card of a model",
    ),
    "pybullet": Card(
        "Random objects of pybullet", "https://pypi.org/project/pybullet",
        "Coumans and Bai, 2016-", "zlib", "meshes", 938, "one, lumps",
        "by geoflow_tools.fetch, families whole",
        (
            "pip download pybullet --no-deps",
            "python -m geoflow_tools.fetch pybullet --wheel pybullet-*.whl --out lumps",
        ),
        note="the second command writes a folder that is upright: prepare it as it is",
    ),
}  # fmt: skip
"""Every set that `geoflow data list` names."""


def card_of(name: str) -> Card:
    """The card of a set.

    Raises:
        ValueError: for an unknown one, with the nearest names.
    """
    if name in CARDS:
        return CARDS[name]
    near = difflib.get_close_matches(name.lower(), CARDS, n=3, cutoff=0.4)
    meant = f"perhaps {' or '.join(near)}" if near else f"expected {', '.join(CARDS)}"
    raise ValueError(f"there is no set {name!r}; {meant}")


def check_file(card: Card, path: Path) -> bool:
    """Whether the checksum of a file was there to compare, and is right.

    Raises:
        ValueError: if it is another one.
    """
    if card.checksum is None or path.name != card.file:
        return False
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    if found.hexdigest() != card.checksum:
        raise ValueError(
            f"{path} is not the file of {card.title}: its SHA-256 is {found.hexdigest()}, "
            f"expected {card.checksum}; download it again"
        )
    return True
