"""One mesh as an endless source of surface points, with what the points carry.

Points are uniform by area. Normals are those of the faces; colours are read at the corners of the
faces, from a texture or from the vertices, as fractions of one, and mixed linearly inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor
from trimesh.visual import ColorVisuals, TextureVisuals

from geoflow.geometry.mesh import normalise_mesh
from geoflow.geometry.read_mesh import read_mesh
from geoflow_datasets.request import Request, refuse_category


@dataclass(frozen=True)
class MeshSurface:
    """Triangles with a normal and, if the mesh has them, the colours of their corners."""

    corners: Float[Tensor, "f 3 3"]
    normals: Float[Tensor, "f 3"]
    colors: Float[Tensor, "f 3 3"] | None
    cumulative: Float[Tensor, " f"]
    """Share of the area up to each face."""

    @staticmethod
    def read(path: Path, *, up: str = "y") -> MeshSurface:
        """A mesh file, its box centred and its longest half extent 1.

        Raises:
            ValueError: if the file cannot be read as a mesh with area.
        """
        return MeshSurface.of(read_mesh(path, up=up))

    @staticmethod
    def of(mesh: trimesh.Trimesh) -> MeshSurface:
        """The surface of a mesh, normalised.

        Raises:
            ValueError: if the mesh has no area.
        """
        colors = _vertex_colors(mesh)
        mesh = normalise_mesh(mesh)
        area = np.asarray(mesh.area_faces, dtype=np.float64)
        if not area.sum() > 0:
            raise ValueError("the mesh has no area")
        return MeshSurface(
            torch.tensor(np.asarray(mesh.triangles), dtype=torch.float32),
            torch.tensor(np.asarray(mesh.face_normals), dtype=torch.float32),
            None if colors is None else torch.tensor(colors[mesh.faces], dtype=torch.float32),
            torch.tensor(area.cumsum() / area.sum()),
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """What points of this surface can carry."""
        return ("position", "normal") + (("color",) if self.colors is not None else ())

    def draw(
        self, num: int, generator: torch.Generator, channels: tuple[str, ...] = ("position",)
    ) -> Float[Tensor, "n c"]:
        """Fresh points, uniform by area.

        Raises:
            ValueError: for a channel that the mesh does not have.
        """
        missing = set(channels) - set(self.channels)
        if missing:
            raise ValueError(
                f"the mesh has {', '.join(self.channels)}, not {', '.join(sorted(missing))}"
            )
        level = torch.rand(num, generator=generator, dtype=torch.float64)
        face = torch.searchsorted(self.cumulative, level).clamp(max=len(self.cumulative) - 1)
        u = torch.rand(num, 2, generator=generator)
        root = u[:, :1].sqrt()
        weights = torch.cat([1 - root, root * (1 - u[:, 1:]), root * u[:, 1:]], dim=1)

        def inside(values: Tensor) -> Tensor:
            """Values at the corners, mixed at the points."""
            return torch.einsum("nk,nkd->nd", weights, values[face])

        found = {"position": inside(self.corners), "normal": self.normals[face]}
        if self.colors is not None:
            found["color"] = inside(self.colors)
        return torch.cat([found[name] for name in channels], dim=1)


def is_file(source: str) -> bool:
    """Whether this is a file."""
    return Path(source).is_file()


def check(request: Request) -> tuple[str, ...]:
    """Nothing: one mesh has no categories.

    Raises:
        ValueError: for a category.
    """
    refuse_category(request)
    return ()


def load(request: Request) -> MeshSurface:
    """The surface of a mesh file, the same for every split.

    Raises:
        ValueError: for a category, or naming a file that cannot be read as a mesh with area.
    """
    check(request)
    try:
        return MeshSurface.read(request.path, up=request.up)
    except ValueError as error:
        raise ValueError(f"{request.path}: {error}") from error


def _vertex_colors(mesh: trimesh.Trimesh) -> np.ndarray | None:
    """Red, green and blue of every vertex in [0, 1], or None for a mesh without colours."""
    visual = mesh.visual
    if isinstance(visual, TextureVisuals) and visual.uv is not None:
        if not _has_picture(visual):
            return None
        visual = visual.to_color()
    if not isinstance(visual, ColorVisuals) or visual.kind is None:
        return None
    colors = np.asarray(visual.vertex_colors)
    return None if len(colors) != len(mesh.vertices) else colors[:, :3] / 255.0


def _has_picture(visual: TextureVisuals) -> bool:
    """Whether a texture's picture is there; `read_mesh` leaves out those that cannot be read."""
    names = ("image", "baseColorTexture")
    return any(getattr(visual.material, name, None) is not None for name in names)
