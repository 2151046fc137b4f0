"""RigNet's layout: meshes with rigs, split by lists of names.

    FOLDER/obj/ID.obj             the mesh
    FOLDER/rig_info/ID.txt        joints NAME X Y Z | root NAME | hier PARENT CHILD | skin ...
    FOLDER/{train,val,test}_final.txt    names of a split, one a line; optional

Without lists a hash of the name splits, and fewer than ten figures are all of "train". Skin
weights are checked for nothing and not kept: joints are what is learned.

Reference: Xu et al., "RigNet", 2020, arXiv:2005.00559.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float
from rich.progress import track

from geoflow.atomic import reading, write_text
from geoflow.geometry.box import box_of
from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.read_mesh import read_mesh
from geoflow_datasets.bank import cache_folder
from geoflow_datasets.digest import digest, seed_of
from geoflow_datasets.figure_bank import FigureBank
from geoflow_datasets.layouts import SPLITS, split_of
from geoflow_datasets.request import Request, refuse_category

_VERSION = 3
MESHES, RIGS = "obj", "rig_info"


@dataclass(frozen=True)
class Rig:
    """Joints of a file, parents before children; a root's parent is -1."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: Float[np.ndarray, "j 3"]


def read_rig(path: Path) -> Rig:
    """A rig file.

    Raises:
        ValueError: naming file, line and what is wrong there: an unknown word, a number that is
            none, a joint that is named twice or not defined, a second root or parent, a joint
            that does not hang on the root, or no joints at all.
    """
    joints: dict[str, list[float]] = {}
    links: list[tuple[int, str, str]] = []
    root: tuple[int, str] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words[0] == "skin":
            continue
        if words[0] == "joints" and len(words) == 5:
            if words[1] in joints:
                raise _error(path, number, f"joint {words[1]!r} is defined twice")
            joints[words[1]] = _position(path, number, words[2:])
        elif words[0] == "root" and len(words) == 2:
            if root is not None:
                raise _error(path, number, f"second root {words[1]!r} after {root[1]!r}")
            root = (number, words[1])
        elif words[0] == "hier" and len(words) == 3:
            links.append((number, words[1], words[2]))
        else:
            raise _error(
                path,
                number,
                "expected 'joints NAME X Y Z', 'root NAME', 'hier PARENT CHILD' or 'skin ...', "
                f"got {line.strip()!r}",
            )
    if not joints or root is None:
        raise ValueError(f"{path} defines {len(joints)} joints and {'a' if root else 'no'} root")
    return _tree(path, joints, root, links)


def is_folder(source: str) -> bool:
    """Whether this is a folder."""
    return Path(source).is_dir()


def check(request: Request) -> tuple[str, ...]:
    """Nothing: figures have no categories.

    Raises:
        ValueError: for a category, or a folder of another layout or without figures.
    """
    refuse_category(request)
    _names(request.path, request.split)
    return ()


def load(request: Request) -> FigureBank:
    """The figures of a split.

    Raises:
        ValueError: as `load_rignet`, or for a category.
    """
    refuse_category(request)
    return load_rignet(
        request.path,
        split=request.split,
        cache=request.cache,
        show_progress=request.show_progress,
    )


def load_rignet(
    folder: Path,
    *,
    split: str = "train",
    num_surface: int = 1024,
    cache: Path | None = None,
    show_progress: bool = False,
) -> FigureBank:
    """The figures of one split: surface uniform by area, longest half extent 1, joints along.

    Raises:
        ValueError: for an unknown split, a folder of another layout or without figures of the
            split, a mesh without a rig, or if all figures are refused.
    """
    prepared = _prepare(
        folder, split, num_surface=num_surface, cache=cache, show_progress=show_progress
    )
    return FigureBank.load(prepared)


def describe(request: Request) -> str:
    """Every figure that was refused, with its reason."""
    refused: dict[str, str] = {}
    for split in ("train", "val"):
        target = _prepare(request.path, split, cache=request.cache)
        path = _refusals(target)
        with reading(path):
            refused |= json.loads(path.read_text(encoding="utf-8"))
    if not refused:
        return ""
    lines = [f"{len(refused)} figures refused"]
    return "\n".join([*lines, *(f"  {name}: {reason}" for name, reason in refused.items())])


def _refusals(target: Path) -> Path:
    return target.with_suffix(".json")


def _prepare(
    folder: Path,
    split: str,
    *,
    num_surface: int = 1024,
    cache: Path | None = None,
    show_progress: bool = False,
) -> Path:
    """Make the bank of a split unless that was done; its file, with the refusals beside it."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    names = _names(folder, split)
    parts: list[str | bytes] = [str(_VERSION), str(num_surface)]
    for name in names:
        parts += [name, *(path.read_bytes() for path in _files(folder, name))]
    kept = f"{folder.resolve().name}-{split}-{digest(parts)}.npz"
    target = (cache or cache_folder()) / "rignet" / kept
    if not target.is_file():
        made: dict[str, tuple[np.ndarray, Rig]] = {}
        refused: dict[str, str] = {}
        for name in track(names, description="figures", disable=not show_progress):
            try:
                made[name] = _figure(*_files(folder, name), num_surface)
            except ValueError as error:
                # One bad file must not end the folder's run.
                refused[name] = str(error)
        if not made:
            first, reason = next(iter(refused.items()))
            raise ValueError(f"all {len(refused)} figures were refused; {first}: {reason}")
        bank = FigureBank.of(
            [surface for surface, _ in made.values()],
            [rig.joints for _, rig in made.values()],
            [rig.parents for _, rig in made.values()],
            list(made),
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(_refusals(target), json.dumps(refused))
        bank.save(target)
    return target


def _figure(obj: Path, rig_file: Path, num: int) -> tuple[np.ndarray, Rig]:
    rig, mesh = read_rig(rig_file), read_mesh(obj)
    centre, half = box_of(np.asarray(mesh.vertices))
    normal, joints = normalise_mesh(mesh), (rig.joints - centre) / half
    seed = seed_of(obj.stem) % 2**31
    surface, _ = trimesh.sample.sample_surface(normal, num, seed=seed)
    return np.asarray(surface), Rig(rig.names, rig.parents, joints)


def _names(folder: Path, split: str) -> list[str]:
    if not (folder / MESHES).is_dir() or not (folder / RIGS).is_dir():
        raise ValueError(
            f"{folder} has not RigNet's layout: expected {MESHES}/ID.obj and {RIGS}/ID.txt"
        )
    listed = folder / f"{split}_final.txt"
    if listed.is_file():
        names = listed.read_text(encoding="utf-8").split()
    else:
        every = sorted(path.stem for path in (folder / MESHES).glob("*.obj"))
        names = [name for name in every if split_of(name, len(every)) == split]
        # A small folder has nothing to hold out: its own figures stand in.
        names = names or every
    if not names:
        raise ValueError(f"{folder} has no figures for the split {split!r}")
    return names


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    obj, rig = folder / MESHES / f"{name}.obj", folder / RIGS / f"{name}.txt"
    for path in (obj, rig):
        if not path.is_file():
            raise ValueError(f"figure {name!r} has no file {path}")
    return obj, rig


def _position(path: Path, number: int, words: list[str]) -> list[float]:
    try:
        position = [float(word) for word in words]
    except ValueError:
        position = [float("nan")]
    if not np.isfinite(position).all():
        raise _error(path, number, f"expected three finite numbers, got {' '.join(words)!r}")
    return position


def _tree(
    path: Path,
    joints: dict[str, list[float]],
    root: tuple[int, str],
    links: list[tuple[int, str, str]],
) -> Rig:
    named = [root, *((number, name) for number, *pair in links for name in pair)]
    for number, name in named:
        if name not in joints:
            raise _error(path, number, f"joint {name!r} is not defined by a 'joints' line")
    children: dict[str, list[str]] = {}
    parent: dict[str, str] = {}
    for number, above, below in links:
        if below in parent or below == root[1]:
            raise _error(path, number, f"joint {below!r} has a second parent, or is the root")
        parent[below] = above
        children.setdefault(above, []).append(below)
    order = [root[1]]
    for name in order:  # Grows while it is read: parents come before their children.
        order += children.get(name, [])
    loose = [name for name in joints if name not in order]
    if loose:
        raise ValueError(f"{path}: joints {', '.join(loose)} do not hang on the root {root[1]!r}")
    parents = tuple(order.index(parent[name]) if name in parent else -1 for name in order)
    return Rig(tuple(order), parents, np.array([joints[name] for name in order]))


def _error(path: Path, number: int, problem: str) -> ValueError:
    return ValueError(f"{path}, line {number}: {problem}")
