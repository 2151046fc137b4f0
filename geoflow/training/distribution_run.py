"""A run that trains a geometry distribution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from geoflow.models.distribution import DistributionConfig, GeometryDistribution
from geoflow.seeds import step_generator
from geoflow.training.folder import POINTS
from geoflow.training.single_stage import SingleStageRun
from geoflow.training.stages.distribution import (
    STAGE,
    DistributionTraining,
    Draw,
    train_distribution,
)

_NUM_FIT = 65_536


@dataclass(frozen=True)
class DistributionRunConfig:
    """Everything that determines a run's result."""

    data: str
    """Mesh file."""
    up: str = "y"
    """Axis that points up in the file."""
    model: DistributionConfig = field(default_factory=DistributionConfig)
    """Network."""
    training: DistributionTraining = field(default_factory=DistributionTraining)
    """Optimisation."""
    seed: int = 0
    """Seed of weights, points and noise."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""


class DistributionRun(SingleStageRun[DistributionRunConfig, GeometryDistribution, Draw]):
    """A run folder of a distribution, trained on points of one surface."""

    stage: ClassVar[str] = STAGE
    options_file: ClassVar[str] = POINTS
    options_type: ClassVar[type] = DistributionRunConfig
    model_type = GeometryDistribution
    train_stage = staticmethod(train_distribution)

    def _fit(self, data: Draw) -> None:
        self.model.scale.fit(data(_NUM_FIT, step_generator(self.config.seed, "scale", 0)))

    def _about(self, data: Draw) -> dict[str, Any]:
        return {}
