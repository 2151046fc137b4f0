"""A generator of meshes of one kind of things, by signed distance fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.backbones import FieldAutoencoder
from geoflow.backbones.shape_encoder import Box, ScanEncoder
from geoflow.models.latent_config import LatentConfig
from geoflow.models.meshes import FieldGenerator


@dataclass(frozen=True)
class FieldConfig(LatentConfig):
    """Everything that is needed to build the networks of a generator of meshes."""

    @property
    def reads_bare_points(self) -> bool:
        """Whether it has an encoder of scans."""
        return self.autoencoder.scans


@dataclass
class Generator(FieldGenerator):
    """A generator of meshes, by signed distance fields."""

    kind = "sdf"
    config_type = FieldConfig
    # Two encoders fit the package so; their latents move by 0.3 % of their size.
    int8: ClassVar[str] = (
        r"autoencoder\.(scan_)?encoder\.readings\..*(up|down|qkv|key_value|query|scalar_out)\.weight"
    )

    @staticmethod
    def build_autoencoder(config: FieldConfig) -> FieldAutoencoder:
        """The autoencoder of fields, with fresh weights."""
        return FieldAutoencoder(config.autoencoder)

    @torch.no_grad()
    def box(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None = None,
        *,
        oriented: bool = True,
    ) -> Box | None:
        """Box of the surfaces that upright points are of, where there is an encoder of scans."""
        encoder: ScanEncoder | None = self.autoencoder.scan_encoder
        if encoder is None:
            return None
        centre = points.new_zeros(len(points), 3)
        known = normals if oriented else None
        return encoder.with_box(points, known, self.frame_for(len(points)), centre)[1]

    def read_scans(self) -> None:
        """Have an encoder of scans, which begins as that of clean points.

        Raises:
            ValueError: for a symmetry without a full frame, in which a box has no place.
        """
        if (has := self.config.symmetry) != "frame":
            raise ValueError(f"boxes stand in a frame: symmetry must be frame, got {has}")
        if self.autoencoder.scan_encoder is not None:
            return
        self._set_scans(scans=True)
        encoder = ScanEncoder(self.config.autoencoder).to(self.device)
        fresh, known = encoder.state_dict(), self.autoencoder.encoder.state_dict()
        encoder.load_state_dict(fresh | known)
        self.autoencoder.scan_encoder = encoder

    def forget_scans(self) -> None:
        """Have no encoder of scans: another decoder would not understand it."""
        self._set_scans(scans=False)
        self.autoencoder.scan_encoder = None

    def _set_scans(self, *, scans: bool) -> None:
        sizes = replace(self.config.autoencoder, scans=scans)
        self.config = replace(self.config, autoencoder=sizes)
        self.autoencoder.config = sizes

    def _encode(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        oriented: bool,
        frame: Float[Tensor, "b m 3"] | None,
        scanned: bool,
    ) -> Float[Tensor, "b k c"]:
        known = normals if oriented else None
        tokens: Tensor = self.autoencoder.encode(points, known, frame, scanned=scanned)
        return tokens
