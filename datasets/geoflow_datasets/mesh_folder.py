"""Your own meshes: any folder of .obj, .ply, .stl, .off, .glb or .gltf files, flat or by category.

Each mesh is merged, normalised, given a signed distance (see mesh_sdf) and sampled. Whole shapes
are held out, by families of them (see splits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from geoflow.geometry.axes import check_up, turn_from_up
from geoflow.geometry.mesh import SUFFIXES, normalise_mesh
from geoflow.geometry.read_mesh import MeshError, read_mesh, read_mesh_bytes
from geoflow_datasets.bank import ShapeBank
from geoflow_datasets.cloud_files import is_cloud_folder
from geoflow_datasets.folder import Preparation, Report, describe_request, load_request
from geoflow_datasets.layouts import category_names, find_files
from geoflow_datasets.mesh_sdf import THICKNESS, sign_mesh
from geoflow_datasets.queries import sample_queries
from geoflow_datasets.request import Request


@dataclass(frozen=True)
class MeshOptions:
    """How meshes become shapes."""

    up: str = "y"
    """Axis that points up in the files, "y" or "z"."""
    num_surface: int = 4096
    """Surface points kept of each mesh."""
    num_queries: int = 16_384
    """Signed distances kept of each mesh."""
    thickness: float = THICKNESS
    """Least thickness of parts, where the longest half extent is 1; thinner ones are thickened."""
    keep_cavities: bool = False
    """Keep closed hollows that nothing outside reaches."""

    def __post_init__(self) -> None:
        """Check the axis and the thickness."""
        check_up(self.up)
        if not 0.0 <= self.thickness <= 0.5:
            raise ValueError(f"thickness must be in [0, 0.5], got {self.thickness}")


@dataclass(frozen=True)
class MeshReport(Report):
    """What became of one mesh."""

    method: str | None = None
    watertight_input: bool | None = None
    components: int | None = None
    interior_fraction: float | None = None
    unclear_fraction: float | None = None
    ray_agreement: float | None = None
    half_thickness: float | None = None
    thin_fraction: float | None = None
    """Share of the surface that is moved outward."""
    inward: int | None = None
    """Closed parts that the file winds inward; they are turned."""
    cavities: int | None = None
    """Closed hollows that nothing outside reaches."""
    missing: Sequence[str] = ()
    """Files, such as pictures, that it names and that cannot be read."""


def is_folder(source: str) -> bool:
    """Whether this is a folder."""
    return Path(source).is_dir()


def check(request: Request) -> tuple[str, ...]:
    """The categories' names, after what can be seen without reading a mesh.

    Raises:
        ValueError: for a folder of clouds, or without meshes of a category.
    """
    names = category_names(request.category)
    if is_cloud_folder(request.path):
        raise ValueError(
            f"{request.source} holds clouds of points, which have no signed distances: "
            "train them with --kind points"
        )
    find_files(request.path, request.category, suffixes=SUFFIXES, kind=MESHES.kind)
    return names


def load(request: Request) -> ShapeBank:
    """The meshes of a split.

    Raises:
        ValueError: as `check`, or if all meshes are refused.
    """
    check(request)
    return load_request(MESHES, request, options_of(request))


def describe(request: Request) -> str:
    """What became of every mesh."""
    return describe_request(MESHES, request, options_of(request))


def options_of(request: Request) -> MeshOptions:
    """How the meshes that are asked for become shapes."""
    thickness = THICKNESS if request.thickness is None else request.thickness
    return MeshOptions(request.up, thickness=thickness, keep_cavities=request.keep_cavities)


def _process(
    path: Path, options: MeshOptions, rng: np.random.Generator
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    mesh = read_mesh(path, up=options.up)
    details, arrays = measure(normalise_mesh(mesh), options, rng)
    return {**details, "missing": mesh.metadata["missing"]}, arrays


def read_content(
    content: bytes, suffix: str, options: MeshOptions, turn: Sequence[float] | None = None
) -> trimesh.Trimesh:
    """The normalised mesh of a file's content, stood up by the rows of a matrix if need be.

    Raises:
        MeshError: if it cannot be read.
    """
    mesh = read_mesh_bytes(content, suffix)
    if turn is not None:
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(turn, (3, 3))
        mesh.apply_transform(matrix)
    return normalise_mesh(turn_from_up(mesh, options.up))


def measure(
    mesh: trimesh.Trimesh, options: MeshOptions, rng: np.random.Generator
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    """What a report says of a normalised mesh, and its arrays.

    Raises:
        MeshError: if it has no area, or its surface is hidden.
    """
    signed = sign_mesh(mesh, thickness=options.thickness, keep_cavities=options.keep_cavities)
    surface, normals = signed.body.sample(options.num_surface, rng)
    if len(surface) < options.num_surface:
        raise MeshError("its surface is hidden inside itself")
    queries = sample_queries(surface, options.num_queries, rng)
    arrays = {
        "surface": surface.astype(np.float16),
        "normals": normals.astype(np.float16),
        "queries": queries,
        "sdf": signed.distance(queries.astype(np.float64)).astype(np.float16),
    }
    details = {
        "method": signed.method,
        "watertight_input": bool(mesh.is_watertight),
        "components": int(mesh.body_count),
        "interior_fraction": signed.interior_fraction,
        "unclear_fraction": signed.unclear_fraction,
        "ray_agreement": signed.ray_agreement,
        "half_thickness": signed.half_thickness,
        "thin_fraction": signed.thin_fraction,
        "inward": signed.parts.num_inward,
        "cavities": signed.parts.num_cavities,
    }
    return details, arrays


def _summary(taken: Sequence[MeshReport]) -> str:
    methods = [report.method or "" for report in taken]
    said = [f"{methods.count(method)} {method}" for method in sorted(set(methods))]
    for what, found in (
        ("with hidden cavities", [report.cavities for report in taken]),
        ("without pictures that they name", [report.missing for report in taken]),
    ):
        if num := sum(map(bool, found)):
            said.append(f"{num} {what}")
    return ", ".join(said)


MESHES = Preparation(
    kind="meshes",
    version=10,
    suffixes=SUFFIXES,
    bank=ShapeBank,
    report=MeshReport,
    process=_process,
    summary=_summary,
    files_per_process=1,
)
