"""Signed distances of meshes as people have them: open, many parts, badly oriented.

Each part is turned outward (see mesh_parts). A point is inside within a closed part, and where the
generalised winding number of open parts that bound a solid is above one half, which closes holes by
a smooth membrane; the light at the point has a word there (see mesh_inside).

The distance is exact, to the surfaces that have the outside on a side: those that lie inside the
solid are left out. Where a part is thinner than asked for, and at sheets, which have the outside
on both sides, the surface moves outward by what is missing, and nowhere else. The method is called
`thickened` where that is so for more than two percent of the surface, `shell` where there is no
inside at all, and else `winding`.

Reference: Shapira et al., "Consistent mesh partitioning and skeletonisation using the shape
diameter function", 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.geometry.extraction import EmptySurfaceError, extract_mesh
from geoflow.geometry.read_mesh import MeshError
from geoflow_datasets.mesh_body import Body, Inside
from geoflow_datasets.mesh_inside import Interior
from geoflow_datasets.mesh_parts import Parts, orient

Method = Literal["winding", "thickened", "shell"]
Distance = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]

THICKNESS = 0.018
"""Least thickness of a part: just over a cell of a grid of 128 cells over the cube."""
_BOUND = 1.15
# Cells of the grid that thickened surfaces are extracted on: 0.014 apart.
_FINE_GRID = 160
_PROBES, _RAYS = 20_000, 4000
# A winding number between these is no answer.
_UNCLEAR = (0.25, 0.75)
_MAX_THIN = 0.02


@dataclass(frozen=True)
class SignedMesh:
    """A mesh with a signed distance, and how it came by it.

    Attributes:
        body: the surface, and the distance to it.
        method: how the signs were found.
        interior_fraction: share of the cube of half extent 1.05 that is inside.
        unclear_fraction: share of that cube where the winding number is unclear.
        ray_agreement: share of random rays that first meet a face from the side that the sign
            tells.
        half_thickness: that of sheets; 0 where nothing is thickened.
        thin_fraction: share of the surface that is moved outward.
        parts: what the mesh is made of.
    """

    body: Body
    method: Method
    interior_fraction: float
    unclear_fraction: float
    ray_agreement: float
    half_thickness: float
    thin_fraction: float
    parts: Parts

    def distance(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Signed distance, negative inside."""
        return self.body.distance(points)

    @property
    def inside(self) -> Inside:
        """What is inside before thin parts are thickened."""
        return self.body.inside

    @cached_property
    def surface(self) -> trimesh.Trimesh:
        """Triangles around the solid; extracted from the distance where parts are thickened."""
        return self.body.mesh() if self.thin_fraction == 0 else _extract(self.distance)


def sign_mesh(
    mesh: trimesh.Trimesh, *, thickness: float = THICKNESS, keep_cavities: bool = False
) -> SignedMesh:
    """Signed distance of a mesh whose box is centred, with longest half extent 1.

    Args:
        mesh: merged.
        thickness: least thickness of its parts; thinner ones are thickened.
        keep_cavities: keep closed hollows that nothing outside reaches.

    Raises:
        MeshError: if the mesh has no area or is not finite.
    """
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all() or mesh.area <= 1e-9:
        raise MeshError("it has no triangles of finite, positive area")
    parts = orient(mesh, keep_cavities=keep_cavities)
    interior = Interior(parts)
    probes = np.random.default_rng(0).uniform(-1.05, 1.05, (_PROBES, 3))
    is_inside, number = interior.told(probes)
    body = Body.of(parts.vertices[parts.faces], interior.inside, thickness / 2)
    thin = body.thin_fraction()
    method: Method = "thickened" if thin > _MAX_THIN else "winding"
    if body.sheet.all():
        method = "shell"
    rays = _ray_agreement(parts, probes[:_RAYS], is_inside[:_RAYS])
    return SignedMesh(
        body, method, float(np.mean(is_inside)), _unclear(number), rays,
        thickness / 2 if thin > 0 else 0.0, thin, parts,
    )  # fmt: skip


def _unclear(number: np.ndarray) -> float:
    between = (number > _UNCLEAR[0]) & (number < _UNCLEAR[1])
    return float(np.mean(between | (number < -_UNCLEAR[0])))


def _ray_agreement(parts: Parts, origins: np.ndarray, is_inside: np.ndarray) -> float:
    import point_cloud_utils as pcu

    direction = np.random.default_rng(1).normal(size=origins.shape)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    face, _, distance = pcu.ray_mesh_intersection(parts.vertices, parts.faces, origins, direction)
    met = np.isfinite(distance)
    a, b, c = (parts.vertices[parts.faces[face[met], i]] for i in range(3))
    leaves = (np.cross(b - a, c - a) * direction[met]).sum(-1) > 0
    return float(np.mean(leaves == is_inside[met])) if met.any() else 0.0


def _extract(distance: Distance) -> trimesh.Trimesh:
    def field(points: Tensor) -> Tensor:
        return torch.from_numpy(distance(points.double().numpy())).float()

    try:
        return extract_mesh(field, resolution=_FINE_GRID, bound=_BOUND).mesh
    except EmptySurfaceError as error:
        raise MeshError(f"it is too thin everywhere: {error}") from error
