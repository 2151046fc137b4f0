"""Your own meshes: any folder of .obj, .ply, .stl, .off or .glb files, flat or by category.

Each mesh is merged, normalised, given a signed distance (see mesh_sdf) and sampled; the bank and
a report per mesh are cached under the content of the folder. Whole shapes are held out: a mesh's
split is a hash of its path inside the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import trimesh
from rich.progress import track

from geoflow.geometry.mesh import normalise_mesh
from geoflow_datasets.bank import BOUND, NEAR_SHARE, ShapeBank, cache_folder
from geoflow_datasets.layouts import ALL, SPLITS, category_of, find_meshes, split_of
from geoflow_datasets.mesh_sdf import Distance, MeshRefusedError, sign_mesh
from geoflow_datasets.workers import map_in_processes

# Bumped when the processing changes, so that no old bank is met.
_VERSION = 3
_NEAR_SCALES = (0.012, 0.05)
# +Z up to +Y up: a quarter turn about -X.
_Z_TO_Y = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
_REPORT = "report.json"


@dataclass(frozen=True)
class Report:
    """What became of one mesh."""

    name: str
    category: str
    refused: str | None = None
    method: str | None = None
    watertight_input: bool | None = None
    components: int | None = None
    interior_fraction: float | None = None
    unclear_fraction: float | None = None
    ray_agreement: float | None = None
    half_thickness: float | None = None


def load_mesh_folder(
    folder: Path,
    *,
    category: str = ALL,
    split: str = "train",
    up: str = "y",
    num_surface: int = 4096,
    num_queries: int = 16_384,
    cache: Path | None = None,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> ShapeBank:
    """The meshes of one split; every mesh is in "train" where fewer than ten were accepted.

    Args:
        folder: meshes directly inside, or in one folder per category.
        category: keep this category alone; "all", or a flat folder, keeps everything.
        split: "train", "val" or "test".
        up: axis that points up in the files, "y" or "z".
        num_surface: surface points kept of each mesh.
        num_queries: signed distances kept of each mesh.
        cache: where the bank is kept.
        num_workers: processes; default: one per core.
        show_progress: draw a progress bar.

    Raises:
        ValueError: if the folder is missing, has no meshes of the category, or all are refused.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    target = prepare_mesh_folder(
        folder,
        category=category,
        up=up,
        num_surface=num_surface,
        num_queries=num_queries,
        cache=cache,
        num_workers=num_workers,
        show_progress=show_progress,
    )
    bank = ShapeBank.load(target)
    chosen = [i for i, name in enumerate(bank.names) if split_of(name, len(bank)) == split]
    # A small folder has nothing to hold out: its own shapes stand in.
    return bank.subset(chosen or range(len(bank)))


def prepare_mesh_folder(
    folder: Path,
    *,
    category: str = ALL,
    up: str = "y",
    num_surface: int = 4096,
    num_queries: int = 16_384,
    cache: Path | None = None,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> Path:
    """Read, sign and sample the meshes unless that was done; the folder of bank and reports.

    Raises:
        ValueError: as `load_mesh_folder`.
    """
    if up not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', got {up!r}")
    files = find_meshes(folder, category)
    key = _key(folder, files, f"{_VERSION}-{up}-{num_surface}-{num_queries}")
    target = (cache or cache_folder()) / "meshes" / key
    if (target / "bank.json").is_file():
        return target
    work = partial(_process, folder=folder, up=up, num_surface=num_surface, num_queries=num_queries)
    workers = min(num_workers or os.cpu_count() or 1, len(files))
    done = map_in_processes(work, files, workers)
    results = list(track(done, total=len(files), description="meshes", disable=not show_progress))
    reports = [report for report, _ in results]
    kept = [(report, arrays) for report, arrays in results if arrays is not None]
    if not kept:
        first = reports[0]
        raise ValueError(
            f"all {len(reports)} meshes of {folder} were refused; {first.name}: {first.refused}"
        )
    names = sorted({report.category or category for report, _ in kept})
    bank = ShapeBank(
        **{key: np.stack([arrays[key] for _, arrays in kept]) for key in kept[0][1]},
        categories=np.array([names.index(report.category or category) for report, _ in kept]),
        names=tuple(report.name for report, _ in kept),
        category_names=tuple(names),
    )
    text = json.dumps([asdict(report) for report in reports], indent=2)
    bank.save(target, {_REPORT: text})
    return target


def load_reports(prepared: Path) -> list[Report]:
    """One report per mesh file, from a folder that `prepare_mesh_folder` gave."""
    entries = json.loads((prepared / _REPORT).read_text(encoding="utf-8"))
    return [Report(**entry) for entry in entries]


def summarise_reports(reports: Sequence[Report]) -> str:
    """How many meshes were taken by which method, and every refusal with its reason."""
    taken = [report.method for report in reports if report.method is not None]
    methods = ", ".join(f"{taken.count(method)} {method}" for method in sorted(set(taken)))
    refused = [report for report in reports if report.refused is not None]
    lines = [f"{len(taken)} meshes ({methods}), {len(refused)} refused"]
    return "\n".join([*lines, *(f"  {report.name}: {report.refused}" for report in refused)])


_Result = tuple[Report, dict[str, np.ndarray] | None]


def _process(path: Path, *, folder: Path, up: str, num_surface: int, num_queries: int) -> _Result:
    name, category = path.relative_to(folder).as_posix(), category_of(folder, path)
    try:
        mesh = normalise_mesh(read_mesh(path, up=up))
        signed = sign_mesh(mesh)
    except (MeshRefusedError, ValueError) as error:
        return Report(name, category, refused=str(error)), None
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    surface, normals = _outer_surface(signed.surface, signed.distance, num_surface, rng)
    if len(surface) < num_surface:
        return Report(name, category, refused="its surface is hidden inside itself"), None
    near = int(NEAR_SHARE * num_queries)
    scale = rng.choice(_NEAR_SCALES, size=(near, 1))
    close = surface[rng.integers(num_surface, size=near)] + scale * rng.normal(size=(near, 3))
    spread = rng.uniform(-BOUND, BOUND, (num_queries - near, 3))
    queries = np.concatenate([close, spread]).astype(np.float16)
    arrays = {
        "surface": surface.astype(np.float16),
        "normals": normals.astype(np.float16),
        "queries": queries,
        "sdf": signed.distance(queries.astype(np.float64)).astype(np.float16),
    }
    report = Report(
        name,
        category,
        method=signed.method,
        watertight_input=bool(mesh.is_watertight),
        components=int(mesh.body_count),
        interior_fraction=signed.interior_fraction,
        unclear_fraction=signed.unclear_fraction,
        ray_agreement=signed.ray_agreement,
        half_thickness=signed.half_thickness,
    )
    return report, arrays


def read_mesh(path: Path, *, up: str = "y") -> trimesh.Trimesh:
    """One mesh from a file, +Y up, its parts joined and equal vertices merged.

    Raises:
        MeshRefusedError: if no reader understands the file.
    """
    try:
        if path.suffix.lower() == ".off":
            text = path.read_text(errors="replace")
            first, _, rest = text.partition("\n")
            if first.startswith("OFF") and first.strip() != "OFF":
                # ModelNet's broken header carries the counts on the first line.
                text = f"OFF\n{first[3:].strip()}\n{rest}"
            mesh = trimesh.load_mesh(trimesh.util.wrap_as_stream(text), file_type="off")
        else:
            mesh = trimesh.load_mesh(path)
    except Exception as error:  # Readers of many formats fail in as many ways.
        raise MeshRefusedError(f"it cannot be read: {error}") from error
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    if up == "z":
        mesh.apply_transform(_Z_TO_Y)
    return mesh


def _outer_surface(
    mesh: trimesh.Trimesh, distance: Distance, num: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points between inside and outside, with normals turned outward."""
    found: list[np.ndarray] = []
    turned: list[np.ndarray] = []
    step = 0.004
    for _ in range(6):
        seed = int(rng.integers(2**31))
        points, face = trimesh.sample.sample_surface(mesh, 2 * num, seed=seed)
        normals = mesh.face_normals[face]
        ahead = distance(points + step * normals) > 0
        behind = distance(points - step * normals) > 0
        outer = ahead != behind
        found.append(points[outer])
        turned.append(np.where(ahead[outer, None], normals[outer], -normals[outer]))
        if sum(map(len, found)) >= num:
            break
    return np.concatenate(found)[:num], np.concatenate(turned)[:num]


def _key(folder: Path, files: Sequence[Path], options: str) -> str:
    digest = hashlib.sha256(options.encode())
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return f"{folder.name}-{digest.hexdigest()[:16]}"
