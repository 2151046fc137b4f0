"""What a checkpoint stores about itself: frozen dataclasses, written and read as JSON."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from geoflow.backbones import ShapeConfig, TransformerConfig
from geoflow.symmetry import FRAME_SIZES, Symmetry

T = TypeVar("T")
Representation = Literal["sdf", "points"]


@dataclass(frozen=True)
class PointLawConfig:
    """The flow of single points of a shape, for models of points."""

    interpolant: str = "linear"
    """Key of INTERPOLANTS."""
    prediction: str = "u"
    """Key of PREDICTIONS."""
    spread: float = 0.4
    """Standard deviation of coordinates: the flow's state is a point divided by it."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a generator's networks."""

    representation: Representation = "sdf"
    """What latents are decoded to: signed distance fields, or clouds of points."""
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
    points: PointLawConfig = field(default_factory=PointLawConfig)
    """The flow of points, for models of points."""

    @staticmethod
    def build(
        *,
        symmetry: Symmetry,
        categories: tuple[str, ...],
        interpolant: str = "linear",
        prediction: str = "u",
        representation: Representation = "sdf",
    ) -> ModelConfig:
        """A configuration whose two networks agree on tokens, frame and categories."""
        size = FRAME_SIZES[symmetry]
        autoencoder = ShapeConfig(frame_size=size, normals=representation == "sdf")
        transformer = TransformerConfig(
            frame_size=size,
            num_tokens=autoencoder.num_tokens,
            scalars=autoencoder.scalars,
            vectors=autoencoder.vectors,
            num_categories=len(categories),
        )
        return ModelConfig(
            representation,
            symmetry,
            categories,
            interpolant,
            prediction,
            autoencoder,
            transformer,
        )


def to_json(config: Any) -> dict[str, Any]:
    """A dataclass as JSON-ready nested dictionaries."""
    return dataclasses.asdict(config)


def from_json(kind: type[T], data: dict[str, Any]) -> T:
    """Build a dataclass from what `to_json` gave.

    Raises:
        ValueError: for fields that the dataclass does not have.
    """
    hints = typing.get_type_hints(kind)
    unknown = set(data) - set(hints)
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no field {', '.join(sorted(unknown))}; known: {', '.join(hints)}"
        )
    values = {}
    for name, value in data.items():
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, dict):
            value = from_json(hints[name], value)
        elif isinstance(value, list):
            value = tuple(value)
        values[name] = value
    return kind(**values)
