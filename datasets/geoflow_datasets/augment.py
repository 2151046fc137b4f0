"""Deformed copies of a folder's training meshes, with distances of what they have become.

A copy has its long edges split, is mirrored or not, stretched along its axes and perhaps tapered,
sheared, twisted, bent or waved, then normalised, signed and sampled as any mesh is: nothing of the
original's distances is used. Copies are drawn from the file's name and their number, made in
processes and written one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import trimesh
from rich.progress import track

from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.read_mesh import MeshError, read_mesh
from geoflow_datasets import (
    mesh_body,
    mesh_folder,
    mesh_light,
    mesh_parts,
    mesh_sdf,
    queries,
    warps,
)
from geoflow_datasets.bank import CARD, ShapeBank, cache_folder
from geoflow_datasets.bank_writer import write_bank
from geoflow_datasets.digest import digest, digest_of_sources, seed_of
from geoflow_datasets.mesh_folder import MeshOptions, measure, options_of
from geoflow_datasets.request import Request
from geoflow_datasets.workers import map_in_processes

# Edges are split until they are so short, or there are so many faces.
_EDGE, _MOST_FACES = 0.15, 60_000
# One of these besides the stretch, in half of the copies; by less than an assembly is bent.
_BENDS = {"taper": 0.25, "shear": 0.15, "twist": 0.3, "bend": 0.3, "waves": 0.03}
_SCALE, _TRIES = 0.25, 4


def load(request: Request) -> ShapeBank:
    """The meshes of a split, those for training with their copies.

    Raises:
        ValueError: as `mesh_folder.load` and `augmented`.
    """
    bank = mesh_folder.load(request)
    if request.augment == 0 or request.split != "train":
        return bank
    return augmented(
        request.path,
        bank,
        options_of(request),
        request.augment,
        cache=request.cache,
        show_progress=request.show_progress,
    )


def augmented(
    folder: Path,
    bank: ShapeBank,
    options: MeshOptions,
    num: int,
    *,
    cache: Path | None = None,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> ShapeBank:
    """The meshes of a bank, then `num` deformed copies of each, from a cache or made.

    Args:
        folder: where the files are that the bank's names tell.
        bank: of the folder's training meshes.
        options: that the bank was made with.
        num: copies of each mesh.
        cache: where banks are kept.
        num_workers: processes; default: one per core.
        show_progress: draw a progress bar.

    Raises:
        ValueError: for a number below 1, or a mesh no copy of which can be signed.
        WorkersDiedError: if memory runs out.
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    target = (cache or cache_folder()) / "augmented" / _key(folder, bank, options, num)
    if (target / CARD).is_file():
        return ShapeBank.load(target)
    jobs = [(name, copy) for copy in range(1, num + 1) for name in bank.names]
    work = partial(_copy, folder=folder, options=options)
    most = max(len(jobs) // mesh_folder.MESHES.files_per_process, 1)
    made = map_in_processes(work, jobs, min(num_workers or os.cpu_count() or 1, most))
    copies = track(made, total=len(jobs), description="copies", disable=not show_progress)
    write_bank(
        target,
        chain(_rows(bank), copies),
        names=[*bank.names, *(f"{name}#{copy}" for name, copy in jobs)],
        categories=np.tile(bank.categories, num + 1).tolist(),
        category_names=bank.category_names,
    )
    return ShapeBank.load(target)


def deformed(mesh: trimesh.Trimesh, rng: np.random.Generator) -> trimesh.Trimesh:
    """A mesh stretched, perhaps mirrored and bent, normalised before and after."""
    fine = split_long_edges(normalise_mesh(mesh), _EDGE)
    points, faces = np.asarray(fine.vertices), np.asarray(fine.faces)
    if rng.random() < 0.5:
        points, faces = points * [-1, 1, 1], faces[:, ::-1]
    points = warps.stretch(rng)(points)
    if rng.random() < 0.5:
        name = str(rng.choice(list(_BENDS)))
        points = warps.WARPS[name](rng, most=_BENDS[name])(points)
    points = points * np.exp(rng.uniform(-_SCALE, _SCALE, 3))
    return normalise_mesh(trimesh.Trimesh(points, faces, process=False))


def split_long_edges(
    mesh: trimesh.Trimesh, length: float, *, most: int = _MOST_FACES
) -> trimesh.Trimesh:
    """The same surface with edges halved until none is long; neighbours keep their common edges.

    Args:
        mesh: vertices merged.
        length: longest edge.
        most: faces at which no further round begins.
    """
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    while len(faces) < most:
        edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        unique, which = np.unique(edges, axis=0, return_inverse=True)
        ends = vertices[unique]
        long = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) > length
        if not long.any():
            break
        middle = np.where(long, len(vertices) + np.cumsum(long) - 1, -1)
        vertices = np.concatenate([vertices, ends[long].mean(1)])
        faces = _split(faces, middle[which.ravel()].reshape(-1, 3))
    return trimesh.Trimesh(vertices, faces, process=False)


def _split(faces: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Faces cut at the middles of their edges 01, 12 and 20; -1 where an edge is kept."""
    count = (middle >= 0).sum(1)
    # Turned so that of one the first edge is halved, of two all but the last.
    first = np.where(count == 1, middle.argmax(1), np.where(count == 2, middle.argmin(1) + 1, 0))
    turn = (first[:, None] + np.arange(3)) % 3
    faces, middle = (np.take_along_axis(array, turn, 1) for array in (faces, middle))
    corners = np.concatenate([faces, middle], axis=1)
    patterns = {
        0: [(0, 1, 2)],
        1: [(0, 3, 2), (3, 1, 2)],
        2: [(3, 1, 4), (0, 3, 4), (0, 4, 2)],
        3: [(0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)],
    }
    return np.concatenate(
        [corners[count == num][:, part] for num, parts in patterns.items() for part in parts]
    )


def _rows(bank: ShapeBank) -> Iterator[Mapping[str, np.ndarray]]:
    for i in range(len(bank)):
        yield {
            "surface": bank.surface[i],
            "normals": bank.normals[i],
            "queries": bank.queries[i],
            "sdf": bank.sdf[i],
        }


def _copy(job: tuple[str, int], *, folder: Path, options: MeshOptions) -> Mapping[str, np.ndarray]:
    """The arrays of a copy; one that cannot be signed is drawn again."""
    name, copy = job
    mesh = read_mesh(folder / name, up=options.up)
    rng = np.random.default_rng(seed_of(f"{name}#{copy}"))
    refused: MeshError | None = None
    for _ in range(_TRIES):
        try:
            return measure(deformed(mesh, rng), options, rng)[1]
        except MeshError as error:
            refused = error
    raise ValueError(f"{name}: no deformed copy of it can be signed: {refused}")


def _key(folder: Path, bank: ShapeBank, options: MeshOptions, num: int) -> str:
    version = digest_of_sources(
        mesh_body, mesh_light, mesh_parts, mesh_sdf, mesh_folder, queries, warps
    )
    parts: list[str | bytes] = [version, Path(__file__).read_bytes(), repr(options), str(num)]
    for i, name in enumerate(bank.names):
        parts += [name, bank.category_names[bank.categories[i]], bank.sdf[i].tobytes()]
    return f"{folder.name}-{digest(parts)}"
