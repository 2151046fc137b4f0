"""What the configurations of generators of shapes have in common."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from geoflow.backbones import ShapeConfig, TransformerConfig
from geoflow.symmetry import FRAME_SIZES, Symmetry
from geoflow.times import power_grid
from geoflow.typing import Positive

C = TypeVar("C", bound="LatentConfig")


@dataclass(frozen=True)
class LatentConfig:
    """Everything that is needed to build a generator's networks."""

    symmetry: Symmetry = "frame"
    """Group under which samples turn: with a full frame, about the up axis, or freely."""
    categories: tuple[str, ...] = ("chair",)
    """Category names; the index is the class condition."""
    interpolant: str = "linear"
    """Key of INTERPOLANTS."""
    prediction: str = "u"
    """Key of PREDICTIONS."""
    autoencoder: ShapeConfig = field(default_factory=ShapeConfig)
    """Sizes of the autoencoder."""
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    """Sizes of the flow map's network."""
    grid_power: Positive = 1.0
    """Of the times of a sample's jumps, (i / steps)**power; chosen where a model is validated."""
    restarts: bool = False
    """Every jump goes to the data, and the next begins there mixed with other noise, back to the
    next of these times (consistency sampling); otherwise jumps go from time to time."""
    temperature: Positive = 1.0
    """Standard deviation of the noise that samples begin with, and start again with, where they go
    through no points: above 1 they are of more kinds, below of fewer. The ODE begins with 1."""

    def __post_init__(self) -> None:
        """Check what no tensor's shape tells.

        Raises:
            ValueError: for categories that are not those of the network, or come twice, or a frame
                that is not of the symmetry.
        """
        names, num = self.categories, self.transformer.num_categories
        if len(names) != num or len(set(names)) != num or not all(map(str.isprintable, names)):
            raise ValueError(f"categories must be {num} different names, got {len(names)}")
        sizes = {part.frame_size for part in (self.autoencoder, self.transformer)}
        if sizes != {FRAME_SIZES[self.symmetry]}:
            raise ValueError(
                f"frame_size must be {FRAME_SIZES[self.symmetry]} with symmetry {self.symmetry}, "
                f"got {sorted(sizes)}"
            )

    @classmethod
    def build(
        cls: type[C],
        *,
        symmetry: Symmetry,
        categories: tuple[str, ...],
        interpolant: str = "linear",
        prediction: str = "u",
    ) -> C:
        """A configuration whose networks agree on tokens, frame and categories."""
        size = FRAME_SIZES[symmetry]
        autoencoder = ShapeConfig(frame_size=size, normals=cls.reads_normals())
        transformer = TransformerConfig(
            frame_size=size,
            num_tokens=autoencoder.num_tokens,
            scalars=autoencoder.scalars,
            vectors=autoencoder.vectors,
            num_categories=len(categories),
        )
        return cls(symmetry, categories, interpolant, prediction, autoencoder, transformer)

    def with_categories(self: C, names: tuple[str, ...]) -> C:
        """The same networks for other categories."""
        transformer = replace(self.transformer, num_categories=len(names))
        return replace(self, categories=names, transformer=transformer)

    def grid(self, steps: int, start: float = 0.0) -> Float[Tensor, " n"]:
        """Times of a sample of `steps` jumps, or of one that starts on the way.

        Raises:
            ValueError: for fewer than one step, or a start that is not in [0, 1).
        """
        return power_grid(steps, self.grid_power, start)

    def jumps(self, steps: int) -> list[tuple[float, float]]:
        """Start and end of each of the jumps of a sample.

        Raises:
            ValueError: for fewer than one step.
        """
        times: list[float] = self.grid(steps).tolist()
        ends = [1.0] * steps if self.restarts else times[1:]
        return list(zip(times[:-1], ends, strict=True))

    @staticmethod
    def reads_normals() -> bool:
        """Whether the encoders of this kind read the normals of their points."""
        return True
