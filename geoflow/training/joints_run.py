"""A run that trains a rigger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from geoflow.models.joints import Rigger, RiggerConfig
from geoflow.training.folder import JOINTS
from geoflow.training.single_stage import SingleStageRun
from geoflow.training.stages.joints import STAGE, FigureDataset, JointTraining, train_joints


@dataclass(frozen=True)
class JointRunConfig:
    """Everything that determines a run's result."""

    data: str = "procedural"
    """"procedural", or a folder in RigNet's layout."""
    num_figures: int = 6_000
    """Procedural figures to train on."""
    model: RiggerConfig = field(default_factory=RiggerConfig)
    """Network."""
    training: JointTraining = field(default_factory=JointTraining)
    """Optimisation."""
    seed: int = 0
    """Seed of weights, figures and noise."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""


class JointRun(SingleStageRun[JointRunConfig, Rigger, FigureDataset]):
    """A run folder of a rigger, trained on figures."""

    stage: ClassVar[str] = STAGE
    options_file: ClassVar[str] = JOINTS
    options_type: ClassVar[type] = JointRunConfig
    model_type = Rigger
    train_stage = staticmethod(train_joints)

    def _fit(self, data: FigureDataset) -> None:
        """Surfaces are standardised one by one."""

    def _about(self, data: FigureDataset) -> dict[str, Any]:
        return {"figures": len(data)}
