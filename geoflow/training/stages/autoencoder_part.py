"""Stages whose average autoencoder is kept: of the whole, or of one part of it."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, TypeVar

from torch import nn

from geoflow.models.meshes import FieldGenerator
from geoflow.training.stage import Context, Stage
from geoflow.training.stages.keeping import Beginning

M = TypeVar("M", bound=FieldGenerator)
B = TypeVar("B")


class AveragedAutoencoderStage(Stage[M, B]):
    """Trains an autoencoder; the average of its weights is kept, or the one that was better."""

    _beginning: Beginning

    @property
    def module(self) -> Any:
        """The autoencoder."""
        return self.model.autoencoder

    def kept(self) -> M:
        """The model with the averaged autoencoder."""
        assert self.average is not None, "the loop makes the average before the first step"
        kept = copy.copy(self.model)
        kept.autoencoder = self.average.module
        return kept

    def finish(self) -> None:
        """The moving average is what is kept, or what tuning has not made better."""
        self.model.autoencoder = self.kept().autoencoder
        self.said = self._beginning.keep_better(self)


class AutoencoderPartStage(AveragedAutoencoderStage[M, B]):
    """Trains `part`, which `add_part` gives the model where it has none; all else stays."""

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self.add_part()
        self.module.requires_grad_(False)
        self.part.requires_grad_(True)
        self._beginning = Beginning(self)

    @abstractmethod
    def add_part(self) -> None:
        """Have the model hold what learns."""

    @property
    @abstractmethod
    def part(self) -> nn.Module:
        """What learns."""

    def finish(self) -> None:
        """As of the whole; then nothing is fixed any more."""
        super().finish()
        self.module.requires_grad_(True)
