"""Whether meshes of a model are solids as their files have them, and what fewer triangles cost.

Every mesh is written by each suffix, read back by trimesh as it stands, and merged at six decimals;
then no edge may lack a face, no face area, and manifold3d must take it.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import trimesh
from trimesh.grouping import unique_rows

from geoflow import __version__
from geoflow.geometry.mesh import OUT_SUFFIXES, mesh_bytes, simplify_mesh
from geoflow.geometry.simplification import WITHIN, simplify_within
from geoflow.models.completion import load_solids
from geoflow.models.meshes import FieldGenerator

_DECIMALS = 6


def faults(mesh: trimesh.Trimesh, vertices: int | None = None) -> list[str]:
    """Why a mesh of about unit size is no solid after merging at six decimals; empty if it is.

    Args:
        mesh: as it is in memory, or as a file has it.
        vertices: how many places there are; by default one a vertex of the mesh.
    """
    import manifold3d

    rounded = np.round(mesh.vertices, _DECIMALS)
    # By whole numbers: equal rows of those are found several times as fast.
    first, index = unique_rows(np.rint(rounded * 10**_DECIMALS).astype(np.int64))
    keys = rounded[first]
    merged = trimesh.Trimesh(keys, index[mesh.faces], process=False)
    distinct, _ = unique_rows(np.sort(merged.faces, axis=1))
    solid = manifold3d.Manifold(
        manifold3d.Mesh(keys.astype(np.float32), merged.faces.astype(np.uint32))
    )
    holds = {
        "two vertices at one place": len(keys) == (vertices or len(mesh.vertices)),
        "a face without area": bool((merged.area_faces > 0.0).all()),
        "a face twice": len(distinct) == len(mesh.faces),
        "an edge not in two faces": merged.is_watertight,
        "faces wound differently": merged.is_winding_consistent,
        f"manifold3d: {solid.status()}": solid.status() == manifold3d.Error.NoError,
    }
    return [fault for fault, held in holds.items() if not held]


def faults_in_files(mesh: trimesh.Trimesh) -> dict[str, list[str]]:
    """Faults of a mesh as a file of each suffix has it, where there are any."""
    found = {}
    for suffix in OUT_SUFFIXES:
        content = io.BytesIO(mesh_bytes(mesh, suffix))
        read = trimesh.load_mesh(content, file_type=suffix[1:], process=False)
        if wrong := faults(read, len(mesh.vertices)):
            found[suffix] = wrong
    return found


@dataclass(frozen=True)
class Checked:
    """A sample's mesh, made in one way: its faults by suffix, or why it was refused."""

    model: str
    resolution: int
    steps: int
    seed: int
    index: int
    way: str
    faces: int = 0
    seconds: float = 0.0
    faults: dict[str, list[str]] = field(default_factory=dict)
    refused: str | None = None


@dataclass(frozen=True)
class SolidsBenchmark:
    """Sample a model and count the meshes that are no solids."""

    model: str = "chair"
    """Shipped model, or a folder, of a kind that makes meshes; its categories take turns."""
    num: int = 400
    """Samples."""
    resolution: int = 64
    """Cells of the extraction grid along an edge."""
    steps: int = 2
    """Network evaluations per sample."""
    faces: tuple[int, ...] = ()
    """Numbers of faces to ask for of each sample too."""
    seed: int = 0
    """Of the noise."""
    records: Path | None = None
    """File of JSON lines, one added for each mesh checked; those in it are not made again."""
    out: Path | None = None
    """JSON file to write; it is printed in any case."""

    def measure(self) -> dict[str, object]:
        """Samples with faults: as extracted, with triangles taken away by default, and by number.

        Faces and CPU seconds are medians.
        """
        by_way: dict[str, list[Checked]] = defaultdict(list)
        refused: dict[str, dict[int, str]] = defaultdict(dict)
        wrong: dict[str, dict[int, object]] = defaultdict(dict)
        for checked in self._all():
            if checked.refused is not None:
                refused[checked.way][checked.index] = checked.refused
                continue
            by_way[checked.way].append(checked)
            if checked.faults:
                wrong[checked.way][checked.index] = checked.faults
        return {
            "geoflow": __version__,
            "model": self.model,
            "resolution": self.resolution,
            "samples": self.num,
            "checked": {way: len(each) for way, each in by_way.items()},
            "no_solids": wrong,
            "refused": refused,
            "median_faces": {
                way: float(np.median([c.faces for c in each])) for way, each in by_way.items()
            },
            "median_seconds": {
                way: float(np.median([c.seconds for c in each])) for way, each in by_way.items()
            },
        }

    def _all(self) -> Iterator[Checked]:
        """Every sample in every way, from the records or made now."""
        model = load_solids(self.model)
        known = self._recorded()
        ways: dict[str, Callable[[trimesh.Trimesh], trimesh.Trimesh]] = {
            "full": lambda full: full,
            "default": lambda full: simplify_within(full, WITHIN),
        } | {str(number): partial(simplify_mesh, faces=number) for number in self.faces}
        for index in range(self.num):
            blanks = [self._blank(index, way) for way in ways]
            yield from (known[_key(blank)] for blank in blanks if _key(blank) in known)
            missing = [blank for blank in blanks if _key(blank) not in known]
            if not missing:
                continue
            full = self._extracted(model, index)
            # Where there is nothing to take away the mesh is the same, and checked once.
            faults_of = _Once(faults_in_files)
            for blank in missing:
                checked = _check(blank, partial(ways[blank.way], full), faults_of)
                self._record(checked)
                yield checked

    def _blank(self, index: int, way: str) -> Checked:
        return Checked(self.model, self.resolution, self.steps, self.seed, index, way)

    def _extracted(self, model: FieldGenerator, index: int) -> trimesh.Trimesh:
        noise = model.noise(1, seed=self.seed, first=index)
        names = model.config.categories
        cond = model.condition(1, category=names[index % len(names)])
        tokens = model.sample_latents(noise, cond, steps=self.steps)[0]
        return model.decode(tokens, resolution=self.resolution)

    def _recorded(self) -> dict[tuple[object, ...], Checked]:
        if self.records is None or not self.records.exists():
            return {}
        lines = self.records.read_text().splitlines()
        return {_key(checked): checked for checked in (Checked(**json.loads(s)) for s in lines)}

    def _record(self, checked: Checked) -> None:
        if self.records is not None:
            with self.records.open("a") as file:
                file.write(json.dumps(asdict(checked)) + "\n")


def _key(checked: Checked) -> tuple[object, ...]:
    """What a record is found by."""
    return (
        checked.model,
        checked.resolution,
        checked.steps,
        checked.seed,
        checked.index,
        checked.way,
    )


class _Once:
    """A function of a mesh, called once for the same object."""

    def __init__(self, call: Callable[[trimesh.Trimesh], dict[str, list[str]]]) -> None:
        self._call = call
        self._known: list[tuple[trimesh.Trimesh, dict[str, list[str]]]] = []

    def __call__(self, mesh: trimesh.Trimesh) -> dict[str, list[str]]:
        for known, found in self._known:
            if known is mesh:
                return found
        self._known.append((mesh, self._call(mesh)))
        return self._known[-1][1]


def _check(
    blank: Checked,
    make: Callable[[], trimesh.Trimesh],
    faults_of: Callable[[trimesh.Trimesh], dict[str, list[str]]],
) -> Checked:
    """What becomes of one mesh."""
    start = process_time()
    try:
        mesh = make()
    except ValueError as error:
        return replace(blank, refused=str(error))
    seconds = process_time() - start
    return replace(blank, faces=len(mesh.faces), seconds=seconds, faults=faults_of(mesh))
