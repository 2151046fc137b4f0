"""Meshes of a generator of signed distance fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from geoflow.geometry.extraction import EmptySurfaceError
from geoflow.models.meshes import FieldGenerator
from geoflow_viewer.items import SLICE_BOUND, Item, Rung
from geoflow_viewer.kinds.source import Slice, tokens_of, vectors_of
from geoflow_viewer.measure import measure
from geoflow_viewer.state import SHOWS, State
from geoflow_viewer.worker import Ticket

_SLICE_POINTS = 97


@dataclass(frozen=True)
class Source:
    """Meshes of a generator of signed distance fields."""

    model: FieldGenerator
    kind: ClassVar[str] = "sdf"
    shows: ClassVar[tuple[str, ...]] = SHOWS

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of what it can make, the default first."""
        return self.model.choices

    def latent(self, state: State, ticket: Ticket | None = None) -> Float[Tensor, "k c"]:
        """Tokens on the way from noise to shape."""
        return tokens_of(self.model, state, state.time, ticket)

    def encode(self, mesh: trimesh.Trimesh) -> Float[Tensor, "k c"]:
        """Tokens of a mesh."""
        return self.model.encode_mesh(mesh)

    def item(
        self, label: str, state: State, latent: Tensor | None, rung: Rung, ticket: Ticket
    ) -> Item:
        """The zero set of a latent's field; a message where it has none."""
        assert latent is not None
        item = Item(label, state, latent=vectors_of(self.model, latent))
        try:
            mesh = self.model.decode(latent, resolution=rung.resolution, check=ticket.check)
        except EmptySurfaceError as error:
            return replace(item, message=str(error))
        return replace(item, mesh=mesh, measures=measure(mesh))

    def slice(self, latent: Tensor | None, x: float, ticket: Ticket) -> Slice:
        """Signed distance of a latent's field on the plane of that x, at (y, z)."""
        assert latent is not None
        return _on_plane(self.model.field(latent, check=ticket.check), x)


def _on_plane(field: Callable[[Tensor], Tensor], x: float) -> Slice:
    axis = torch.linspace(-SLICE_BOUND, SLICE_BOUND, _SLICE_POINTS)
    y, z = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([torch.full_like(y, x), y, z], -1).reshape(-1, 3)
    return field(points).reshape(y.shape).cpu().numpy().astype(np.float32)
