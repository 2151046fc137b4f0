"""A generator of meshes of many kinds of things, whose one encoder takes any points of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from geoflow.backbones import TransformerConfig
from geoflow.backbones.volume_field import VolumeAutoencoder, VolumeConfig
from geoflow.models.latent_config import LatentConfig
from geoflow.models.meshes import FieldGenerator
from geoflow.symmetry import Symmetry

NO_SAMPLES = "this model encodes and decodes shapes, but has no flow map yet: it makes no samples"
G = TypeVar("G", bound="VolumeGenerator")
V = TypeVar("V", bound="VolumesConfig")

SIZES: dict[str, VolumeConfig] = {
    "small": VolumeConfig(widths=(128, 64, 32, 16), hidden=64),
    "base": VolumeConfig(widths=(192, 96, 48, 32, 8), fine_blocks=2),
    "large": VolumeConfig(
        widths=(512, 192, 96, 32, 16), cell_blocks=4, coarse_blocks=3, fine_blocks=2, hidden=192
    ),
}
"""Autoencoders by name: for a CPU, and for a GPU."""
# Width and blocks of the flow map's network that goes with each.
_FLOWS = {"small": (128, 6), "base": (224, 6), "large": (512, 12)}


@dataclass(frozen=True)
class VolumesConfig(LatentConfig):
    """Everything that is needed to build the networks of a generator of many things."""

    autoencoder: VolumeConfig = field(default_factory=VolumeConfig)  # type: ignore[assignment]
    """Sizes of the autoencoder."""
    transformer: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(num_tokens=64, scalars=64, vectors=0)
    )
    """Sizes of the flow map's network."""
    generates: bool = True
    """Whether the flow map was trained; else the model encodes and decodes alone."""

    @property
    def reads_bare_points(self) -> bool:
        """Always: its encoder is never trained otherwise."""
        return True

    @classmethod
    def build(
        cls: type[V],
        *,
        symmetry: Symmetry,
        categories: tuple[str, ...],
        interpolant: str = "linear",
        prediction: str = "u",
        size: str = "base",
    ) -> V:
        """A configuration of a size.

        Raises:
            ValueError: for an unknown size, or a symmetry without a full frame.
        """
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
        if symmetry != "frame":
            raise ValueError(f"volumes stand in a frame: symmetry must be frame, got {symmetry}")
        autoencoder, (width, blocks) = SIZES[size], _FLOWS[size]
        transformer = TransformerConfig(
            num_tokens=autoencoder.num_tokens,
            scalars=autoencoder.scalars,
            vectors=0,
            num_categories=len(categories),
            width=width,
            blocks=blocks,
            guided=True,
            points=True,
        )
        return cls(symmetry, categories, interpolant, prediction, autoencoder, transformer)


@dataclass
class VolumeGenerator(FieldGenerator):
    """A generator of meshes of many kinds of things, by signed distance fields."""

    kind = "shapes"
    config_type = VolumesConfig
    # Two networks fit the package so; the encoder's latents move by 0.4 % of their size.
    float8: ClassVar[str] = (
        r"autoencoder\.encoder\.(coarse\.\d+\.(first|second)|blocks\.\d+\.(up|down|qkv))\.weight"
    )
    int8: ClassVar[str] = (
        r"flow\.backbone\.blocks\.\d+\.(up|down)\.weight|autoencoder\.encoder\.down_cells\.weight"
    )

    @staticmethod
    def build_autoencoder(config: Any) -> VolumeAutoencoder:
        """The autoencoder of fields on volumes, with fresh weights."""
        return VolumeAutoencoder(config.autoencoder)

    def modules(self) -> dict[str, nn.Module]:
        """All networks; without the flow map where it was not trained."""
        found = super().modules()
        if not self.config.generates:
            del found["flow"]
        return found

    def completed(self: G) -> G:
        """Itself, with a fresh flow map where none was trained."""
        if not self.config.generates:
            network = replace(self.config.transformer, guided=True, points=True)
            self.config = replace(self.config, generates=True, transformer=network)
            self.flow_map = type(self).build(self.config).flow_map.to(self.device)
        return self

    def learn_to_mend(self, width: int) -> None:
        """Have a network that mends fields beside points, a fresh one where there was none.

        Args:
            width: of a fresh one.
        """
        if not self.mends:
            self._set_residual(width)

    def mending(self) -> dict[str, Tensor] | None:
        """A copy of the weights of that network; None where there is none."""
        residual = self.autoencoder.decoder.residual
        if residual is None:
            return None
        return {name: value.detach().clone() for name, value in residual.state_dict().items()}

    def mend_as(self, weights: dict[str, Tensor]) -> None:
        """Have such a network with the weights that `mending` gave."""
        self._set_residual(len(weights["out.weight"][0]))
        self.autoencoder.decoder.residual.load_state_dict(weights)

    def forget_to_mend(self) -> None:
        """Have no such network: it knows the fields of a decoder that is to change."""
        self._set_residual(0)

    def _set_residual(self, width: int) -> None:
        self.autoencoder.learn_to_mend(width)
        self.config = replace(self.config, autoencoder=self.autoencoder.config)

    def check_generates(self) -> None:
        """Raise ValueError where the flow map was not trained."""
        if not self.config.generates:
            raise ValueError(NO_SAMPLES)

    def _encode(
        self,
        points: Float[Tensor, "b n 3"],
        normals: Float[Tensor, "b n 3"] | None,
        oriented: bool,
        frame: Float[Tensor, "b m 3"] | None,
        scanned: bool,
    ) -> Float[Tensor, "b k c"]:
        return self.autoencoder.encode(points, normals, frame, oriented=oriented)
